"""Suites: every mistake is one line that names file, key and remedy; a resolved suite reproduces itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.cli.run import parse_shares
from greenbench.config import CURRENCIES, Suite, builtin_suites, digest, load_suite, suite_from_table
from greenbench.config.reference import suite_reference
from greenbench.errors import ConfigError

ARM = "[suite]\n[budget]\nseconds = 1\n[models.eco.train]\n"
MINIMAL = {"suite": {"name": "x"}, "budget": {"seconds": 5}}


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "my.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[suite]\nmdels = ['eco']\n[budget]\nseconds = 1", ["my.toml", "mdels", "did you mean 'models'"]),
        ("[suit]\nname = 'x'", ["my.toml", "[suit]", "did you mean 'suite'"]),
        ("[suite]\n[budget]\nseconds = 0", ["[budget]", "seconds = 0", "above 0"]),
        ("[suite]\n[budget]\nseconds = -3", ["seconds = -3"]),
        ("[suite]\n[budget]\nseconds = nan", ["finite"]),
        ("[suite]\n[budget]\n", ["exactly one of", "found none"]),
        ("[suite]\n[budget]\nseconds = 1\nsteps = 2", ["exactly one of", "seconds, steps"]),
        ("[suite]\n[budget]\nseconds = 'long'", ["[budget] seconds", "expected float", "'long'"]),
        ("[suite]\nseeds = []\n[budget]\nseconds = 1", ["seeds is empty"]),
        ("[suite]\nmodels = []\n[budget]\nseconds = 1", ["models is empty"]),
        ("[suite]\nmodels = ['eco', 'eco']\n[budget]\nseconds = 1", ["'eco' twice", "other=eco"]),
        ("[suite]\nseeds = [0.5]\n[budget]\nseconds = 1", ["seeds[0]", "expected int"]),
        ("[suite]\n[budget]\nseconds = 1\n[train]\ndtype = 'bf16'", ["dtype", "did you mean 'bfloat16'"]),
        ("[suite]\n[budget]\nseconds = 1\n[carbon]\npue = 0.5", ["pue = 0.5"]),
        ("[suite]\n[budget]\nseconds = 1\n[models.ecoo]\nwidth = 3", ["models.ecoo", "did you mean 'eco'"]),
        (ARM + "dtyp = 'float32'", ["my.toml [models.eco.train]", "unknown key 'dtyp'", "did you mean 'dtype'"]),
        (ARM + "dtype = 'bf16'", ["[models.eco.train] dtype", "did you mean 'bfloat16'"]),
        (ARM + "batch_seconds = 'many'", ["[models.eco.train] batch_seconds", "expected float", "'many'"]),
        (ARM + "layer_drop = 1.0", ["[models.eco.train]", "layer_drop = 1", "below 1"]),
        ("[suite]\n[budget]\nseconds = 1\n[models.eco]\ntrain = 3", ["[models.eco.train]", "expected a table", "3"]),
        ("[suite]\nbaseline = 'nobody'\n[budget]\nseconds = 1", ["baseline", "nobody"]),
        ("[suite\n", ["my.toml", "not valid TOML"]),
    ],
)
def test_a_mistake_is_one_line_with_file_key_and_remedy(tmp_path: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_suite(write(tmp_path, text))
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("budget", "section.key=value"),
        ("seconds=3", "section.key=value"),
        ("budgett.seconds=3", "did you mean 'budget'"),
    ],
)
def test_a_bad_override_says_how_to_write_one(override: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part.replace("[", r"\[")):
        load_suite("quickstart", [override])


def test_a_missing_and_an_unreadable_suite_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        load_suite(str(tmp_path / "nowhere.toml"))
    with pytest.raises(ConfigError, match="did you mean 'quickstart'"):
        load_suite("quikstart")
    binary = tmp_path / "b.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_suite(str(binary))


@pytest.mark.parametrize("currency", CURRENCIES)
def test_naming_a_currency_on_the_command_line_replaces_the_files(currency: str) -> None:
    suite = load_suite("quickstart", [f"budget.{currency}=7"])
    assert (suite.budget.kind, suite.budget.limit) == (currency, 7.0)


def test_a_corpus_on_the_command_line_does_not_keep_the_label_set_of_the_files() -> None:
    """Sets of labels belong to a corpus: the suite's own need not exist in another."""
    own = ("suite.data=folder:recordings",)
    assert load_suite("quickstart").evaluate.labels == "10min"
    assert load_suite("quickstart", own).evaluate.labels == ""
    assert load_suite("quickstart", ("evaluate.labels=all", *own)).evaluate.labels == "all"
    assert load_suite("quickstart", ("suite.data=librispeech-mini",)).evaluate.labels == "10min"


def test_overrides_take_lists_numbers_and_plain_words() -> None:
    suite = load_suite(
        "quickstart", ["suite.seeds=0,1,2", "suite.models=eco", "train.threads=1", "suite.data=folder:/a b"]
    )
    assert suite.suite.seeds == (0, 1, 2)
    assert suite.suite.models == ("eco",)
    assert suite.train.threads == 1
    assert suite.suite.data == "folder:/a b"


def test_a_table_of_model_options_reaches_only_that_model() -> None:
    suite = load_suite("quickstart", ["models.eco.width=64"])
    assert suite.models == {"eco": {"width": 64}}


def test_an_arm_may_differ_in_training_and_the_others_stay(tmp_path: Path) -> None:
    suite = load_suite("quickstart", ["models.eco.train.dtype=bfloat16", "models.eco.width=64"])
    assert suite.train_of("eco").dtype == "bfloat16"
    assert suite.train_of("eco").batch_seconds == suite.train.batch_seconds == 16
    assert suite.train_of("hubert") == suite.train
    assert suite.train.dtype == "auto"
    assert suite.options_of("eco") == {"width": 64}
    assert load_suite(write(tmp_path, suite.to_toml())) == suite
    with pytest.raises(ConfigError, match=r"\[models\.eco\.train\]: unknown key 'dtyp'; did you mean 'dtype'"):
        load_suite("quickstart", ["models.eco.train.dtyp=bfloat16"])


def test_choosing_models_on_the_command_line_leaves_the_other_arms_options_out() -> None:
    suite = load_suite("record", ["suite.models=eco,melhubert", "models.eco.width=128"])
    assert suite.models == {"eco": {"width": 128}}
    both = load_suite("record", ["suite.models=melhubert,published=melhubert"])
    assert set(both.models) == {"published"}
    with pytest.raises(ConfigError, match=r"models\.wide\] fits no model"):
        load_suite("record", ["suite.models=eco,melhubert", "models.wide.width=128"])


@pytest.mark.parametrize("name", sorted(builtin_suites()))
def test_every_built_in_suite_loads_and_reproduces_itself(name: str, tmp_path: Path) -> None:
    suite = load_suite(name)
    assert load_suite(write(tmp_path, suite.to_toml())) == suite


@given(
    seconds=st.floats(0.1, 1e6),
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=5, unique=True),
    region=st.none() | st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8),
)
def test_any_suite_survives_the_way_through_toml(seconds: float, seeds: list[int], region: str | None) -> None:
    import tomllib

    carbon = {} if region is None else {"region": region}
    suite = suite_from_table({"suite": {"seeds": seeds}, "budget": {"seconds": seconds}, "carbon": carbon}, "x")
    assert suite_from_table(tomllib.loads(suite.to_toml()), "y") == suite


def test_the_digest_depends_on_content_and_not_on_order() -> None:
    assert digest({"a": 1, "b": (2, 3)}) == digest({"b": [2, 3], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_replace_changes_one_section_only() -> None:
    suite = suite_from_table(MINIMAL, "x")
    changed = suite.replace("train", threads=3)
    assert isinstance(changed, Suite)
    assert changed.train.threads == 3
    assert changed.budget == suite.budget


def test_the_page_of_suite_keys_is_what_the_sections_hold() -> None:
    page = Path(__file__).resolve().parents[1] / "docs" / "suite-keys.md"
    assert page.read_text(encoding="utf-8") == suite_reference(), "greenbench suites --keys > docs/suite-keys.md"


def test_parts_of_a_budget_are_fractions_of_the_whole_and_steps_stay_whole() -> None:
    assert parse_shares("1, 1/4,0.0625") == [0.0625, 0.25, 1.0]
    for text in ("", "1/0", "a", "2", "0", "-1"):
        with pytest.raises(ConfigError, match="--shares"):
            parse_shares(text)
    assert load_suite("quickstart", ("budget.steps=10",)).with_budget(1 / 4).budget.steps == 3
    assert load_suite("quickstart", ("budget.joules=300",)).with_budget(1 / 16).budget.joules == 18.75
