"""Output of `--dry-run`: the jobs that would run and their resources."""

from typing import TYPE_CHECKING, Any

from rlp_bench.display import print_json, show, table

if TYPE_CHECKING:
    from rlp_bench.matrix.schedule import Matrix


def print_dry(matrix: "Matrix", spec: str, as_json: bool) -> None:
    """Prints every job that is not done, with its dependencies and resources."""
    open_jobs = [job for job in matrix.jobs.values() if job.key not in matrix.done]
    rows: list[dict[str, Any]] = [
        {
            "job": job.name,
            "after": sorted(matrix.jobs[key].name for key in job.needs if key not in matrix.done),
            "nodes": job.asks.nodes,
            "cpus": job.asks.cpus,
            "gpus": job.asks.gpus,
            "memory_gb": round(job.asks.memory_bytes / 1e9, 1),
        }
        for job in open_jobs
    ]
    if as_json:
        print_json({"executor": spec, "sealed": len(matrix.done), "jobs": rows})
        return
    title = f"{spec}: {len(rows)} jobs, {len(matrix.done)} are sealed already; nothing was submitted"
    header = ["job", "after", ">nodes", ">CPUs", ">GPUs", ">GB"]
    show(table(title, header, [[r["job"], len(r["after"]), *list(r.values())[2:]] for r in rows]))
