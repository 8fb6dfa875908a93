"""The environment of GPU jobs: strings only, so that `import spane_rllib` stays cheap."""

from __future__ import annotations

from spane_rllib.problems.environments import EnvironmentSpec

GPU_JOBS = {"spane_rllib/GPUJobs-v0": EnvironmentSpec("spane_rllib.problems.gpu_jobs.environment:GpuJobsEnv")}
