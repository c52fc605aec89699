"""The model card of an exported policy: method, recipe, results, training data and licenses.

External text (names, reports, recipes) is escaped: table cells as Markdown, the front matter by a YAML writer, code
blocks by fences longer than any in them. Paths of this machine are removed.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api import escape, registry
from rlp_bench.api.report import Report, headline, headline_key, suite_name
from rlp_bench.api.types import Artifact
from rlp_bench.evaluation.render import summarize
from rlp_bench.recipes.base_checkpoint import PACKAGE
from rlp_bench.recipes.schema import PromptingSection
from rlp_bench.run.records import RunRecord
from rlp_bench.store.store import fingerprint

NOT_STATED = "not stated"
FOLDERS = re.compile(r"(?:^|(?<=[:,=#\s\"]))(?:~|/(?!/))[^,#\s\"]*/(?=[^/,#\s\"]+)")
LOAD = """from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({where})
model = AutoModelForCausalLM.from_pretrained({where})
{templates}
prompt = template.replace("{{instruction}}", "YOUR INSTRUCTION")
tokens = tokenizer(prompt, return_tensors="pt"{special})
answer = model.generate(input_ids=tokens["input_ids"], max_new_tokens={limit}, {decoding})
print(tokenizer.decode(answer[0, tokens["input_ids"].shape[1] :], skip_special_tokens=True))"""


def model_card(record: RunRecord, report: Report | None, folder: Path) -> str:
    """The text of README.md for the checkpoint in `folder`."""
    name = f"{record.method} on {record.recipe.name}, seed {record.seed}"
    parts = [
        front_matter(record, report, name),
        f"# {cell(name)}",
        f"A policy trained with rlp-bench: method {cell(record.method)}, recipe {escape.markdown_code(record.group)}, "
        f"seed {record.seed}.",
        *_results(report),
        "## Warnings\n\n" + "\n".join(f"- {cell(each)}" for each in warnings(record, report)),
        "## How to load",
        code("python", _load(record, folder)),
        "vLLM: `vllm serve FOLDER`; the prompt is the template above, filled in by the caller.",
        "## Training data",
        table(["stage", "made by", "rows", "content (sha256)"], list(_stages(record))),
        "## License",
        "\n".join(f"- {cell(each)}" for each in licenses(record)),
        f"## Recipe {escape.markdown_code(record.group)}",
        code("json", json.dumps(clean(record.recipe.content), indent=1, sort_keys=True, ensure_ascii=False)),
    ]
    if record.tuned:
        parts.append(
            f"Chosen by the recipe's [tuning]: {escape.markdown_code(json.dumps(dict(record.tuned), sort_keys=True))}."
        )
    return "\n\n".join(parts) + "\n"


def front_matter(record: RunRecord, report: Report | None, name: str) -> str:
    """The YAML metadata block for the Hub, results included."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=line(suite["suite"]),
            dataset_name=line(suite_name(suite)),
            metric_type=headline_key(suite),
            metric_name=line(suite.get("metric", "")),
            metric_value=round(value, 4),
        )
        for suite in (report["suites"] if report else ())
        if (value := headline(suite)) is not None
    ]
    stated = any(terms != NOT_STATED for _, terms in _data_licenses(record))
    data = ModelCardData(
        model_name=line(name),
        library_name="transformers",
        pipeline_tag="text-generation",
        license="other" if stated else "unknown",
        tags=["rlp-bench", line(record.method), line(record.recipe.name)],
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---"


def _results(report: Report | None) -> Iterator[str]:
    """Yields the results sections: the report's summary tables, the judge and the data hashes."""
    yield "## Results"
    if report is None:
        yield "This run was not evaluated (`rlp-bench run` without --no-eval evaluates it)."
        return
    for title, rows in summarize(report):
        if title == "Notes":
            continue
        header, body = (rows[0], rows[1:]) if title == "Suites" else (("", ""), rows)
        if len(body) and len(body[0]) != len(header):
            header = ("",) * len(body[0])
        yield f"### {title}"
        yield table(header, body)
    yield f"Order of the two answers: {cell(report['order'])}. Intervals are 95 %, errors are standard errors."
    yield code("json", json.dumps(clean(report["judge"]), sort_keys=True, ensure_ascii=False))
    hashes = [
        (suite_name(suite), what, str(value))
        for suite in report["suites"]
        for what, value in sorted(suite.get("data", {}).items())
    ]
    yield table(["suite", "what", "sha256"], hashes)


def warnings(record: RunRecord, report: Report | None) -> list[str]:
    """Caveats for the reader: the report's notes and those of this export."""
    found: list[str] = []
    if report is None:
        found.append("This policy was not evaluated.")
    else:
        notes = [rows for title, rows in summarize(report) if title == "Notes"]
        found += [": ".join(row) for rows in notes for row in rows]
        if report.get("provenance", {}).get("policy", record.policy.fingerprint) != record.policy.fingerprint:
            found.append("The report in this run's folder is of another policy.")
        if report.get("provenance", {}).get("trained_on_judge"):
            found.append(
                "The training labels and the evaluation verdicts come from the same family of judges."
            )
    found.append("Trained for research on reward learning; not checked for truth, safety or bias.")
    return found


def licenses(record: RunRecord) -> list[str]:
    """One line for the base and one per data source."""
    lines = [f"base checkpoint {base_name(record)}: {NOT_STATED} here; its own license applies"]
    lines += [f"data {clean(reference)}: {terms}" for reference, terms in _data_licenses(record)]
    return lines


def _data_licenses(record: RunRecord) -> list[tuple[str, str]]:
    data = record.recipe.data
    found = []
    for reference in filter(None, (data.source, data.preferences_from, data.strengths_from)):
        plugin = registry.load("suite", reference.partition(":")[0])
        found.append((reference, str(getattr(plugin, "license", NOT_STATED))))
    return found


def base_name(record: RunRecord) -> str:
    """The base checkpoint without local paths: a package reference, or the folder's name."""
    reference = record.recipe.base.checkpoint
    return reference if reference.startswith(PACKAGE) else Path(reference).name


def _stages(record: RunRecord) -> Iterator[tuple[str, str, str, str]]:
    for label, artifact in record.lineage:
        made = artifact.manifest.get("provenance", {})
        yield (
            label,
            clean(str(made.get("suite") or made.get("trainer", ""))),
            _rows(artifact),
            _content(artifact),
        )


def _rows(artifact: Artifact) -> str:
    """`1000 in, 990 used, 10 prompt_too_long`; only the number of rows where a stage does not count dropped rows."""
    found = artifact.metrics
    if "rows_in" in found:
        drops = [
            f"{rows:.0f} {name.removeprefix('dropped_')}"
            for name, rows in sorted(found.items())
            if name.startswith("dropped_") and rows
        ]
        return ", ".join([f"{found['rows_in']:.0f} in", f"{found['rows_used']:.0f} used", *drops])
    rows = artifact.path / "rows.jsonl"
    return str(rows.read_bytes().count(b"\n")) if rows.exists() else ""


def _content(artifact: Artifact) -> str:
    return str(artifact.manifest.get("content") or fingerprint(dict(artifact.manifest.get("files", {}))))


def _load(record: RunRecord, folder: Path) -> str:
    prompting, decoding = record.recipe.prompting, record.recipe.decoding
    how = (
        f"do_sample=True, temperature={decoding.temperature}, top_p={decoding.top_p}, top_k=0"
        if decoding.temperature
        else "do_sample=False"
    )
    return LOAD.format(
        where='"FOLDER"',
        templates="\n".join(_templates(prompting)),
        special=_special(folder, prompting.template),
        limit=decoding.max_response_tokens,
        decoding=how,
    )


def _templates(prompting: PromptingSection) -> Iterator[str]:
    yield f"template = {json.dumps(prompting.template, ensure_ascii=False)}"
    if prompting.template_with_input:
        text = json.dumps(prompting.template_with_input, ensure_ascii=False)
        yield f"template_with_input = {text}  # for an instruction with an input"


def _special(folder: Path, template: str) -> str:
    """`, add_special_tokens=False` if the template already starts with BOS, else empty."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    bos = config.get("bos_token")
    text = bos.get("content") if isinstance(bos, dict) else bos
    return ", add_special_tokens=False" if text and template.startswith(text) else ""


def clean(value: Any) -> Any:
    """A JSON value in which absolute paths are reduced to their last part."""
    if isinstance(value, str):
        return FOLDERS.sub(".../", value)
    if isinstance(value, Mapping):
        return {key: clean(each) for key, each in value.items()}
    return [clean(each) for each in value] if isinstance(value, list | tuple) else value


def cell(text: Any) -> str:
    """The text escaped for Markdown, inside and outside tables."""
    return escape.markdown(text)


def line(text: Any) -> str:
    """The text on one line, so that it cannot end a front matter, cell or heading."""
    return escape.flat(text)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *[[cell(value) for value in row] for row in rows]]
    return "\n".join("| " + " | ".join(each) + " |" for each in lines)


def code(language: str, text: str) -> str:
    """A code block whose fence is longer than any fence in the text."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", text)), 3)
    return f"{fence}{language}\n{escape.terminal(text)}\n{fence}"
