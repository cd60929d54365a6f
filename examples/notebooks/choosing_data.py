"""Which rows of a pool to train on, and what a version of the data is worth: selection under a budget, and the entropy law (arXiv 2407.06645).

marimo edit examples/notebooks/choosing_data.py     (pip install 'luthier[notebooks]'; python runs it as a script)
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    import math
    import random
    import tempfile
    from collections import Counter, defaultdict
    from pathlib import Path

    import marimo as mo

    from luthier import select
    from luthier.select.entropy_law import law_of
    from luthier.select.ledger import Version, add_version, measure_data

    return Counter, Path, Version, add_version, defaultdict, law_of, math, measure_data, mo, random, select, tempfile


@app.cell
def _(mo):
    mo.md("""
    # Choosing data

    A pool of small dialogues: rows of their own, rows that say the same again, and noise. The selector takes the rows that add most to
    what is chosen already, and has a reason for each row that it leaves.
    """)


@app.cell
def _(random):
    def made_pool(rows: int, repeated: float, noise: float, seed: int = 0) -> list[dict]:
        """rows dialogues; repeated, noise: shares of them that are copies, and that are letters without sense."""
        draw = random.Random(seed)
        things = ["bridge", "choir", "compiler", "lighthouse", "market", "violin", "eclipse", "engine", "orchard", "index"]
        words = [
            "steel",
            "light",
            "wood",
            "song",
            "rope",
            "stone",
            "glass",
            "wind",
            "oil",
            "ink",
            "salt",
            "clay",
            "wool",
            "tar",
            "bone",
            "moss",
        ]
        asked = ["How does a {} work?", "Who first made a {}?", "What does a {} cost?", "Tell me of a {}."]
        made = []
        for _ in range(rows):
            if made and draw.random() < repeated:
                made.append(draw.choice(made))
                continue
            thing = draw.choice(things)
            answer = " ".join(draw.choices(words, k=24))
            if draw.random() < noise:
                answer = "".join(draw.choices("abcdefghijklmnopqrstuvwxyz0123456789 ", k=120))
            talk = [("user", draw.choice(asked).format(thing)), ("assistant", f"A {thing} is of {answer}.")]
            made.append({"messages": [{"role": role, "content": text} for role, text in talk]})
        return made

    pool = made_pool(300, repeated=0.3, noise=0.05)
    return made_pool, pool


@app.cell
def _(mo, pool):
    budget = mo.ui.slider(10, len(pool), value=60, step=10, label="rows to keep")
    method = mo.ui.dropdown(["zip-long", "random"], value="zip-long", label="method")
    mo.hstack([budget, method], justify="start")
    return budget, method


@app.cell
def _(Counter, budget, measure_data, method, mo, pool, select):
    chosen = select(pool, method=method.value, budget=f"{budget.value} rows", seed=0)

    def texts(rows):
        return [f"{row['messages'][0]['content']} {row['messages'][1]['content']}" for row in rows]

    ratio = {
        name: measure_data(texts(rows)).ratio["32K"] for name, rows in (("pool", pool), ("chosen", [pool[at] for at in chosen.indices]))
    }
    left = Counter(gone.gate for gone in chosen.dropped.values())
    print(
        f"{len(chosen.indices)} of {len(pool)} rows chosen; compression of the pool {ratio['pool']:.2f}, of the chosen {ratio['chosen']:.2f}"
    )
    mo.md(f"""
    **{len(chosen.indices)} of {len(pool)} rows.** The texts of the pool compress to 1/{ratio["pool"]:.2f}, the chosen ones to 1/{ratio["chosen"]:.2f}: the
    less they compress, the less they repeat each other. Left out before choosing: {", ".join(f"{gate} {count}" for gate, count in left.items()) or "none"}.

    The last row of the pool that was left: *{chosen.reason(max(set(range(len(pool))) - set(chosen.indices), default=0))}*
    """)
    return (texts,)


@app.cell
def _(mo):
    mo.md("""
    # The entropy law

    Two figures tell early what a version of the data is worth: the compression ratio **R** of its texts and the loss **L** of the first epoch. Here the
    model is a table of letters that learns as it reads, so that an epoch takes a moment; its loss is real. Rows that repeat raise R and
    lower L; noise lowers R and raises L.
    """)


@app.cell
def _(defaultdict, math):
    def first_epoch(texts: list[str]) -> float:
        """Mean loss in nats a letter of a table (the two letters before -> the next) that learns after each letter it is asked for."""
        counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        nats = letters = 0.0
        for text in texts:
            for at, letter in enumerate(text):
                known = counts[text[max(0, at - 2) : at]]
                nats -= math.log((known[letter] + 0.1) / (sum(known.values()) + 0.1 * 64))
                letters += 1
                known[letter] += 1
        return nats / letters

    return (first_epoch,)


@app.cell
def _(Path, Version, add_version, first_epoch, law_of, made_pool, measure_data, mo, tempfile, texts):
    versions = {"as it was": (0.0, 0.0), "another draw": (0.0, 0.0), "20 % noise": (0.0, 0.2), "40 % repeated": (0.4, 0.0)}
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "law.jsonl"
        for number, (name, (repeated, noise)) in enumerate(versions.items()):
            said = texts(made_pool(250, repeated, noise, seed=number))
            facts = measure_data(said)
            add_version(ledger, Version(name, "letters", facts.fingerprint, facts.rows, facts.ratio, first_epoch(said)))
        (group,) = law_of(ledger)
    lines = [
        f"| {row.version.name} | {row.version.ratio['32K']:.2f} | {row.version.loss:.3f} | {'; '.join(alarm.text for alarm in row.alarms) or '–'} |"
        for row in group.versions
    ]
    print("\n".join(lines))
    mo.md("\n".join(["| version | R | L | what the law says |", "| --- | --- | --- | --- |", *lines]))


if __name__ == "__main__":
    app.run()
