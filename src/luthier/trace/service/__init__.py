"""A fitted tracer as a small HTTP service for a tutoring system, on loopback; JSON in and out, every error `{"error": one line}`.

    POST   /answers               learner, item, correct (0 to 1), id (the same answer counts once), items (to predict after it);
                                  or answers: [{learner, item, correct, id}], all of which count or none
    GET    /predict               learner, items (all where none is named)           also POST
    GET    /mastery               learner, concepts (all where none is named)        also POST
    GET    /recommend             learner, n, low, high, respect_prerequisites, leave_out   also POST
    POST   /explain               learner, item: the answers that moved the prediction
    POST   /items                 items: [{item, text, concepts}]
    POST   /concepts              concepts: [{concept, text}], edges: [{source, target, relation, weight}]
    GET    /learners/NAME/state   the state, a few small arrays
    DELETE /learners/NAME         forget the learner: their rows leave every file
    GET    /health                counts, and the version of the graph
    GET    /openapi.json          all this for programs

In a GET, `item`, `concept` and `leave_out` are repeated for several. Status 400 is a field, body or head that is wrong, 401 no key where one
is asked, 403 a foreign Host, 404 an unknown path or learner, 405 a wrong method, 409 an id with another answer, 411 no length, 413 over a MiB,
415 not JSON, 422 an unknown item or concept, 431 a long head, 503 while stopping or with too many connections, 507 a full disk.
"""

from luthier.trace.service.roster import Roster
from luthier.trace.service.server import HOST, PORT, Service, serve

__all__ = ["HOST", "PORT", "Roster", "Service", "serve"]
