"""Talking to the jobs API of a Ray cluster: connecting, submitting, following."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from spane_rllib.core.errors import UserError, one_line

if TYPE_CHECKING:
    from ray.job_submission import JobStatus, JobSubmissionClient


class Jobs:
    """Jobs of the cluster whose dashboard is at `address`.

    Every method raises `UserError` if the cluster does not answer, refuses, or asks for a token.
    """

    def __init__(self, address: str) -> None:
        if not re.match(r"https?://", address):
            raise UserError(
                f"--address {address}: give the URL of the Ray dashboard, as in http://127.0.0.1:8265"
            )
        from ray.job_submission import JobSubmissionClient

        # Ray announces each upload and each one that is not needed.
        for name in ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.address = address.rstrip("/")
        with self._explained():
            self._client: JobSubmissionClient = JobSubmissionClient(self.address)

    def submit(
        self,
        name: str,
        entrypoint: str,
        working_dir: Path | None,
        metadata: Mapping[str, str],
        num_cpus: float = 0,
    ) -> str:
        """Submit a job; returns its submission id: `name`, the time, and a few random digits.

        Args:
            name: what it is, for people.
            entrypoint: shell command.
            working_dir: folder to upload and run in; None for where Ray was started.
            metadata: shown by the dashboard.
            num_cpus: CPU cores to reserve for the command itself; with 0 it runs on the head node.
        """
        readable = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:80]
        with self._explained():
            submission_id: str = self._client.submit_job(
                submission_id=f"{readable}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
                entrypoint=entrypoint,
                runtime_env={"working_dir": str(working_dir)} if working_dir else None,
                metadata=dict(metadata),
                entrypoint_num_cpus=num_cpus or None,
            )
        return submission_id

    def follow(self, submission_id: str) -> JobStatus:
        """Print the job's output as it comes, and return its status once it has ended."""

        async def tail() -> None:
            async for text in self._client.tail_job_logs(submission_id):
                print(text, end="", flush=True)

        with self._explained():
            asyncio.run(tail())
        return self.status(submission_id)

    def status(self, submission_id: str) -> JobStatus:
        """The status of a job."""
        with self._explained():
            return self._client.get_job_status(submission_id)

    def last_line(self, submission_id: str) -> str:
        """The last line a job has printed, or why it failed where it printed nothing."""
        with self._explained():
            lines = self._client.get_job_logs(submission_id).split("\n")
            info = self._client.get_job_info(submission_id)
        return one_line(next((line for line in reversed(lines) if line.strip()), info.message or ""))

    def unfinished(self) -> dict[str, Mapping[str, str]]:
        """Metadata of the submitted jobs that wait or run, by submission id."""
        with self._explained():
            return {
                job.submission_id: job.metadata or {}
                for job in self._client.list_jobs()
                if job.submission_id and not job.status.is_terminal()
            }

    def print_hint(self, submission_id: str) -> None:
        """Say how to go on with a job that nobody follows."""
        for what, verb in (("follow", "logs --follow"), ("stop", "stop")):
            print(f"  {what}: ray job {verb} --address {self.address} {submission_id}", file=sys.stderr)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        import aiohttp
        import requests
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            raise UserError(
                f"{self.address}: the cluster asks for a token; set RAY_AUTH_MODE=token here, and "
                "RAY_AUTH_TOKEN or ~/.ray/auth_token to the cluster's token"
            ) from error
        # requests' errors are OSErrors too, and so is ConnectionError.
        except (OSError, requests.RequestException, aiohttp.ClientError) as error:
            raise UserError(
                f"no Ray dashboard answers at {self.address}; start the cluster, open a tunnel to it, or "
                "give another --address"
            ) from error
        except (RuntimeError, ValueError, KeyError) as error:
            raise UserError(one_line(f"{self.address}: {error}")) from error
