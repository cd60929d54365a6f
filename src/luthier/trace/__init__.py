"""Knowledge tracing (SINKT, arXiv 2407.01245): what a learner, a pupil or a model, will answer right next, also on items never seen before."""
