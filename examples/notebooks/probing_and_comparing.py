"""What a chain of thought changes: a model's answer before each chain and after each of its steps, and whether the change is more than chance.

marimo edit examples/notebooks/probing_and_comparing.py     (pip install 'luthier[notebooks]'; as a script: python ... --model NAME_OR_FOLDER)
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    import html

    import marimo as mo
    import numpy as np

    from luthier import open_model, probe_chain
    from luthier.records.choices import ChoiceQuestion
    from luthier.statistics.rates import mcnemar
    from luthier.statistics.resampling import paired

    return ChoiceQuestion, html, mcnemar, mo, np, open_model, paired, probe_chain


@app.cell
def _(mo):
    mo.md("""
    # Probing chains of thought

    After each step of a chain the model is asked for its answer (Chain-of-Probe, arXiv 2406.16144). A chain that ends with the answer held before
    it was decided from the start; one that moves from wrong to right has helped.
    """)


@app.cell
def _(mo, open_model):
    model = open_model(str(mo.cli_args().get("model") or "bundled"))
    sums = [(a, b) for a in (2, 3, 5) for b in (4, 7)]
    questions = [
        (
            f"What is {a} + {b} + 1?",
            [str(a + b + more) for more in (0, 1, 2, 3)],
            1,
            f"First add {a} and {b}, which gives {a + b}.\nThen add 1, which gives {a + b + 1}.\nThe answer is B.",
        )
        for a, b in sums
    ]
    return model, questions


@app.cell
def _(ChoiceQuestion, model, probe_chain, questions):
    traces = [probe_chain(model, ChoiceQuestion(asked, tuple(options), answer), chain=chain) for asked, options, answer, chain in questions]
    return (traces,)


@app.cell
def _(mo, questions):
    chosen = mo.ui.dropdown({question[0]: at for at, question in enumerate(questions)}, value=questions[0][0], label="question")
    chosen
    return (chosen,)


@app.cell
def _(chosen, html, mo, traces):
    trace = traces[chosen.value or 0]

    def cell(share: float, held: bool) -> str:
        frame = "outline:2px solid;" if held else ""
        return f'<td style="{frame}padding:4px 10px;background:rgba(40,110,200,{0.7 * share:.2f})">{100 * share:.0f}</td>'

    texts = ["before the chain", *trace.steps]
    rows = [
        f"<tr><td>{html.escape(text)}</td>{''.join(cell(float(share), at == held) for at, share in enumerate(conf))}</tr>"
        for text, conf, held in zip(texts, trace.conf, trace.answers, strict=True)
    ]
    head = "".join(f"<th>{html.escape(option)}</th>" for option in trace.question.options)
    mo.Html(f"<table><tr><th>likely, in percent; the answer held is framed</th>{head}</tr>{''.join(rows)}</table>")


@app.cell
def _(mo):
    mo.md("""
    # Comparing before with after

    The same questions, answered without the chain and with it. Items that both answer right or both wrong say nothing of the difference; McNemar's
    test looks at those that changed. `luthier compare` does this for the runs and logs of real benchmarks.
    """)


@app.cell
def _(mcnemar, mo, np, paired, traces):
    before = np.array([float(trace.answers[0] == trace.question.answer) for trace in traces])
    after = np.array([float(trace.final == trace.question.answer) for trace in traces])
    gained, lost = int(((before == 0) & (after == 1)).sum()), int(((before == 1) & (after == 0)).sum())
    found = paired(before, after)
    told = f"right before {before.mean():.0%}, after {after.mean():.0%}; {gained} gained, {lost} lost"
    print(told)
    mo.md(f"""
    **{told}** of {len(traces)}. The difference is {100 * found.mean:+.0f} points ({100 * found.low:+.0f} to {100 * found.high:+.0f}), McNemar
    p = {mcnemar(gained, lost):.2f}. {sum(trace.early for trace in traces)} chains end with the answer held before them.
    """)


if __name__ == "__main__":
    app.run()
