"""
A worker whose handler keeps a L{journal of runs<tests.integration.run_journal>}, in one process.

Run as C{python -m tests.integration.journal_worker NATS DIRECTORY CONCURRENCY DRAIN}; C{siger worker} with a program
costs two processes for each job, which thousands of jobs would make felt.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from siger.worker import JobContext, Worker
from tests.integration.run_journal import RunJournal

__all__ = ["main"]

TYPES = ["ai_training", "data_processing", "inference"]


async def main(nats: str, directory: Path, concurrency: int, drain: float) -> None:
    """
    Work until told to stop.
    """
    journal = RunJournal(directory)
    worker = Worker(nats.split(","), TYPES, concurrency=concurrency, drain=drain, grace=2.0)

    @worker.handler()
    async def handle(job: JobContext) -> object:
        perform = journal.perform(job.id, job.attempt, job.name)
        await job.log(f"attempt {job.attempt}")
        return await perform()

    await worker.run()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
