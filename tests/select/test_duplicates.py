"""Duplicates against comparison of all pairs, and repeats of evaluation files in every layout."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.records import write_jsonl, write_parquet
from luthier.select.duplicates import clusters, exact_duplicates, near_duplicates, repeats_of
from luthier.select.pool import TextPool
from luthier.texts.grams import normalised_words, windows
from luthier.texts.minhash import jaccard

VOCABULARY = [f"word{number}" for number in range(400)]
short_texts = st.lists(st.text(alphabet="aA b\n\tßé", max_size=6), max_size=20)


def shingles(row):
    words = normalised_words(row.decode())
    return frozenset(windows(words, min(3, len(words))))


def near_by_all_pairs(rows, threshold):
    kept, twins = [], {}
    for index, row in enumerate(rows):
        if not normalised_words(row.decode()):
            continue
        twin = next((other for other in kept if jaccard(shingles(row), shingles(rows[other])) >= threshold), None)
        if twin is None:
            kept.append(index)
        else:
            twins[index] = twin
    return twins


def varied_rows(seed, count=40):
    """Rows of which many are an earlier one with some words replaced."""
    draw = random.Random(seed)
    rows = [draw.choices(VOCABULARY, k=draw.randint(1, 60)) for _ in range(8)]
    while len(rows) < count:
        words = list(draw.choice(rows))
        for _ in range(draw.randint(0, 4)):
            words[draw.randrange(len(words))] = draw.choice(VOCABULARY)
        rows.append(words)
    draw.shuffle(rows)
    return [" ".join(words).encode() for words in rows]


@given(short_texts)
def test_exact_duplicates_are_those_of_all_pairs(texts):
    folded = [" ".join(text.split()).casefold() for text in texts]
    expected = {at: folded.index(text) for at, text in enumerate(folded) if text and folded.index(text) < at}
    assert exact_duplicates(TextPool(texts)) == expected


def test_exact_duplicates_of_known_rows():
    rows = [b"", b"One  two\n", b"  ", b"one TWO", b"onetwo", b"", b"STRASSE", "straße".encode(), b"one two"]
    assert exact_duplicates(rows) == {3: 1, 7: 6, 8: 1}
    assert exact_duplicates([]) == {}
    assert exact_duplicates([b"\xff\xfe", b"\xff\xfe"]) == {1: 0}


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 0.8, 1.0]))
def test_near_duplicates_are_those_of_all_pairs(seed, threshold):
    rows = varied_rows(seed)
    found, expected = near_duplicates(TextPool(rows), threshold), near_by_all_pairs(rows, threshold)
    assert sum(found.get(at) != expected.get(at) for at in range(len(rows))) <= 1


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sets(st.integers(0, 39)))
def test_rows_to_skip_are_as_if_they_were_empty(seed, skip):
    rows = varied_rows(seed)
    emptied = [b"" if at in skip else row for at, row in enumerate(rows)]
    found = near_duplicates(rows, skip=skip)
    assert found == near_duplicates(emptied)
    assert not skip & {*found, *found.values()}


def test_near_duplicates_of_known_rows():
    text = "the quick brown fox jumps over the lazy dog and runs far away from here"
    rows = [b"", b"...", f"user: {text}".encode(), b"...", text.upper().encode(), b"hi", b"Hi!", b"quite another text"]
    assert near_duplicates(rows) == {4: 2, 6: 5}
    assert near_duplicates(rows, 1.0) == {6: 5}
    assert near_duplicates([]) == {}


def test_a_row_is_matched_to_what_is_kept_and_not_along_a_chain():
    words = [f"w{number}" for number in range(60)]
    drift = [" ".join([*(f"x{at}" for at in range(changed)), *words[changed:]]).encode() for changed in (0, 6, 12)]
    assert near_duplicates(drift, 0.8) == {1: 0}


@pytest.mark.parametrize("threshold", [0, -0.1, 1.1, float("nan")])
def test_a_threshold_is_a_share(threshold):
    with pytest.raises(SettingsError, match="Jaccard"):
        near_duplicates([b"a"], threshold)


QUESTION = "How many apples does Ann have left when she gives seven of her twenty apples away?"
SHORT = "Name the longest river in all of Africa."
LAYOUTS = {
    "text": lambda said: {"text": said},
    "sharegpt": lambda said: {"conversations": [{"from": "human", "value": said}, {"from": "gpt", "value": "Yes."}]},
    "messages": lambda said: {"messages": [{"role": "user", "content": said}, {"role": "assistant", "content": "No."}]},
    "alpaca": lambda said: {"instruction": said, "output": "Thirteen."},
    "pair": lambda said: {"prompt": said, "chosen": "Thirteen.", "rejected": "Twelve."},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_repeats_are_found_in_any_layout(layout, tmp_path):
    path = str(tmp_path / "eval.jsonl")
    write_jsonl(path, [LAYOUTS[layout]("Something else that nobody in the whole pool has ever said."), LAYOUTS[layout](QUESTION)])
    rows = [b"nothing of it", f"user: Listen. {QUESTION.lower().replace(' ', '  ')} Say it.".encode(), b""]
    assert repeats_of(rows, [path]) == {1: f"shares 13 words with {path}:2"}


def test_a_shorter_text_is_found_whole_and_only_whole(tmp_path):
    path = str(tmp_path / "eval.jsonl")
    write_jsonl(path, [LAYOUTS["messages"](SHORT), LAYOUTS["messages"]("Who was it, then?")])
    inside = f"user: Please: {SHORT} Thanks!\nassistant: The Nile. Who was it, then?\n".encode()
    part = b"user: Name the longest river in all of Asia.\n"
    assert repeats_of([part, inside], [path]) == {1: f"shares 8 words with {path}:1"}


def test_system_prompts_are_no_evaluation_data(tmp_path):
    path = str(tmp_path / "eval.jsonl")
    prompt = "You are a helpful assistant who answers each question in one short and polite sentence."
    write_jsonl(path, [{"messages": [{"role": "system", "content": prompt}, *LAYOUTS["messages"](QUESTION)["messages"]]}])
    assert repeats_of([prompt.encode(), QUESTION.encode()], [path]) == {1: f"shares 13 words with {path}:1"}


def test_the_first_of_several_files_is_named(tmp_path):
    paths = [str(tmp_path / name) for name in ("a.parquet", "b.json", "c.jsonl.gz")]
    write_parquet(paths[0], [{"text": "unlike"}, {"text": QUESTION}])
    (tmp_path / "b.json").write_text(json.dumps([{"text": QUESTION}, {"text": SHORT}]))
    write_jsonl(paths[2], [{"text": "Nobody says this."}])
    found = repeats_of([SHORT.encode(), QUESTION.encode()], paths)
    assert found == {0: f"shares 8 words with {paths[1]}:2", 1: f"shares 13 words with {paths[0]}:2"}
    assert repeats_of([QUESTION.encode()], []) == {}


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_repeats_are_those_of_all_runs(seed, tmp_path_factory):
    draw = random.Random(seed)
    few = VOCABULARY[:3]
    texts, rows = ([" ".join(draw.choices(few, k=draw.randint(0, 30))) for _ in range(12)] for _ in range(2))
    path = str(tmp_path_factory.mktemp("eval") / "eval.jsonl")
    write_jsonl(path, [{"text": text} for text in texts])
    runs = {run for text in texts if len(words := normalised_words(text)) >= 8 for run in windows(words, min(13, len(words)))}
    expected = {at for at, row in enumerate(rows) if any(set(windows(normalised_words(row), size)) & runs for size in range(8, 14))}
    assert set(repeats_of([row.encode() for row in rows], [path])) == expected


SAID = "the harbour master of the old town counts the boats each evening before the lamps are lit"


@pytest.mark.parametrize(
    "row",
    [
        {"question": SAID, "choices": ["a", "b"], "answer": 1},  # MMLU
        {"question": {"stem": SAID, "choices": [{"text": "a", "label": "A"}]}, "answerKey": "A"},  # ARC
        {"ctx": SAID, "endings": ["x", "y"], "label": "1"},  # HellaSwag
        {"task_id": "T/0", "prompt": SAID, "canonical_solution": "return 1", "test": "assert f()"},  # HumanEval
        {"input": SAID, "target": "yes"},  # BIG-bench
        {"question_id": 81, "turns": ["short", SAID]},  # MT-Bench
    ],
)
def test_benchmarks_as_they_are_published_can_be_left_out(tmp_path, row):
    write_jsonl(tmp_path / "bench.jsonl", [row])
    rows = [f"well, {SAID} they said".encode(), b"something else of as many words as the other one has here"]
    assert list(repeats_of(rows, [str(tmp_path / "bench.jsonl")])) == [0]


def test_programs_that_differ_by_indentation_are_two():
    inside, behind = (f"def f(x):\n    if x:\n        return 1\n{gap}return 2\n".encode() for gap in ("        ", "    "))
    assert exact_duplicates([inside, behind]) == {}
    assert exact_duplicates([b"One  line\nand another", b"one line\n\n and another".replace(b"\n ", b"\n"), b"ONE LINE and another "]) == {
        1: 0,
        2: 0,
    }


def test_bad_files_are_named(tmp_path):
    with pytest.raises(MissingFileError, match="absent"):
        repeats_of([b"x"], [str(tmp_path / "absent.jsonl")])
    path = tmp_path / "odd.jsonl"
    path.write_text('{"text": "good"}\n{"number": 3}\n')
    with pytest.raises(BadRowError, match=r"odd\.jsonl:2: "):
        repeats_of([b"x"], [str(path)])
    path.write_text('{"text": "good"}\n{"text": \n')
    with pytest.raises(BadRowError, match=r"odd\.jsonl:2: "):
        repeats_of([b"x"], [str(path)])


def test_clusters_begin_with_the_row_that_is_kept():
    assert clusters({5: 2, 3: 1, 7: 2, 9: 2}) == [[2, 5, 7, 9], [1, 3]]
    assert clusters({3: 1, 5: 3}) == [[1, 3, 5]]
    assert clusters({}) == []


@given(st.dictionaries(st.integers(1, 50), st.integers(0, 50)).map(lambda d: {a: b % a for a, b in d.items()}))
def test_every_row_is_in_one_cluster(near):
    found = clusters(near)
    members = [index for cluster in found for index in cluster]
    assert sorted(members) == sorted({*near, *near.values()})
    assert all(cluster[0] not in near and len(cluster) > 1 for cluster in found)
