"""The benchmark of a second prompt runs what it says."""

from benchmarks import second_prompt
from run_graph.graph import load_workflow
from run_graph.runtime.engine.session import Session
from run_graph.runtime.events import NodeReused


def test_each_run_has_another_prompt_or_another_seed(monkeypatch):
    computed = []
    run = Session.run

    def counted(self, workflow, **options):
        events = []
        result = run(self, workflow, on_event=events.append, **options)
        reused = {event.node_id for event in events if isinstance(event, NodeReused)}
        computed.append(workflow.nodes.keys() - reused)
        return result

    monkeypatch.setattr(Session, "run", counted)
    workflow = load_workflow(second_prompt.WORKFLOWS / "text_to_image.json")
    timings = second_prompt._timings(workflow, rounds=1)

    assert all(timing.median > 0 for timing in timings.values())
    assert [sorted(ids) for ids in computed[-2:]] == [
        ["image", "prompt", "sample", "save"],
        ["image", "sample", "save"],
    ]
