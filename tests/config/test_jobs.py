"""
Tests of L{siger.config.jobs}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.jobs import JobQuotas, JobsSettings
from tests.config.reading import errors_of, loaded


class JobsTests(SynchronousTestCase):
    """
    C{jobs}.
    """

    def test_every_key(self) -> None:
        """
        Each key sets its field.
        """
        for text, expected in [
            ("", JobsSettings()),
            ("types: [render, ai-training_2, render]", JobsSettings(types=("render", "ai-training_2"))),
            ("gpu_types: [RTX-4090, any, T4.x]", JobsSettings(gpu_types=("RTX-4090", "any", "T4.x"))),
            ("gpu_types: [T4]", JobsSettings(gpu_types=("T4", "any"))),
            ("gpu_types: []", JobsSettings(gpu_types=("any",))),
            ("max_gpus: 0", JobsSettings(max_gpus=0)),
            ("quotas: {queued: 0, running: 2, gpus: 8, kept: 9}", JobsSettings(quotas=JobQuotas(0, 2, 8, 9))),
            ("quotas: {running: 2}", JobsSettings(quotas=JobQuotas(running=2))),
            ("retention_days: 30", JobsSettings(retention_days=30)),
            ("lease: 1.5, lost_after: 4.5", JobsSettings(lease=1.5, lost_after=4.5)),
            ("grace: 0", JobsSettings(grace=0)),
        ]:
            settings = loaded(f"jobs: {{{text}}}")
            self.assertEqual((expected, ()), (settings.jobs, settings.warnings), text)

    def test_environment(self) -> None:
        """
        Variables reach into it.
        """
        environ = {"SIGER_JOBS__TYPES": "[a]", "SIGER_JOBS__QUOTAS__GPUS": "3"}
        found = loaded("jobs: {types: [b]}", environ).jobs
        self.assertEqual((("a",), 3), (found.types, found.quotas.gpus))

    def test_bad_values(self) -> None:
        """
        Each key refuses what it cannot be.
        """
        for text, message in [
            ("types: []", ".types: there must be at least one type"),
            ("types: ai_training", ".types: expected a list, got a text"),
            ("gpu_types: ['A 100']", ".gpu_types[0]: a type of GPU has 1 to 64 characters of"),
            ("max_gpus: -1", ".max_gpus: expected a whole number from 0 to 1000000, got -1"),
            ("quotas: {queued: many}", ".quotas.queued: expected a whole number from 0 to 1000000000, got 'many'"),
            ("quotas: {gpu: 1}", ".quotas.gpu: unknown key; did you mean 'gpus'?"),
            ("retention_days: 0", ".retention_days: expected a whole number from 1 to 3650, got 0"),
            ("lease: 0.5", ".lease: expected a number from 1 to 3600, got 0.5"),
            ("grace: -1", ".grace: expected a number from 0 to 3600, got -1"),
            ("lost_after: 89", ": lost_after has to be at least 3 times the lease, which is 90"),
            ("lease: 200", ": lost_after has to be at least 3 times the lease, which is 600"),
            ("lease: no, lost_after: 4", ".lease: expected a number from 1 to 3600, got 'no'"),
            ("type: [x]", ".type: unknown key; did you mean 'types'?"),
        ]:
            errors = errors_of(f"jobs: {{{text}}}")
            self.assertEqual(1, len(errors), errors)
            self.assertTrue(errors[0].startswith(f"config.yaml:1: jobs{message}"), errors)

    def test_no_tokens(self) -> None:
        """
        Row K11: a type that is no single token of a subject cannot be configured.
        """
        for word in ("a.b", "*", ">", "a b", "a\\r\\nPUB x", "", "é", "a" * 65, "$JS"):
            errors = errors_of(f'jobs: {{types: [fine, "{word}"]}}')
            self.assertEqual(1, len(errors), word)
            self.assertTrue(errors[0].startswith("config.yaml:1: jobs.types[1]: "), errors)

    def test_with_others(self) -> None:
        """
        No type at all is told even when there are other faults.
        """
        self.assertEqual(2, len(errors_of("port: x\njobs: {types: []}")))

    def test_without_nats(self) -> None:
        """
        What there would be may stand there although there is none.
        """
        self.assertEqual((), loaded("nats_address: ''\njobs: {max_gpus: 1}").warnings)
