#!/usr/bin/env python3
"""Draw the states of a bus into cancorderd/README.md, between its two marker comments.

The drawing is made from the transition table in `cancorderd.supervisor.state_machine`. Run this script after a
change of the table; a unit test compares the result with the page.
"""

from __future__ import annotations

from pathlib import Path

from cancorderd.supervisor.state_machine import ALIVE, ENDINGS, TRANSITIONS, State, Transition

PAGE = Path(__file__).parents[2] / "cancorderd" / "README.md"
BEGIN, END = "<!-- states -->", "<!-- /states -->"
_WORKER = "worker"
"""Name of the box around the states in which a worker runs."""


def block() -> str:
    """Return the drawing and the list, as they stand between the markers."""
    return "\n".join([BEGIN, "", "```mermaid", *diagram(), "```", "", "```text", *listing(), "```", "", END])


def diagram() -> list[str]:
    """Return a Mermaid state diagram: one arrow for each pair of states, labelled with the events."""
    labels: dict[tuple[str, str], list[str]] = {}
    for transition in TRANSITIONS:
        for source in [_WORKER] if transition.states == ALIVE else transition.states:
            if transition.to:
                labels.setdefault((source, transition.to), []).append(_label(transition))
    arrows = {pair: f"{' --> '.join(pair)}: {', '.join(texts)}" for pair, texts in labels.items()}
    return [
        "stateDiagram-v2",
        f"    state {_WORKER} {{",
        *(f"        {arrow}" for pair, arrow in arrows.items() if set(pair) <= set(ALIVE)),
        "    }",
        *(f"    {arrow}" for pair, arrow in arrows.items() if not set(pair) <= set(ALIVE)),
    ]


def listing() -> list[str]:
    """Return every transition that has an effect, by the states that it leaves."""
    groups: dict[tuple[State, ...], list[Transition]] = {}
    for transition in TRANSITIONS:
        if transition.to or transition.steps or transition.goal:
            groups.setdefault(transition.states, []).append(transition)
    width = max(len(_label(transition)) for group in groups.values() for transition in group)
    lines = []
    for states, group in groups.items():
        lines.append(", ".join(states))
        for transition in group:
            target = transition.to or "(same)"
            lines.append(f"    {_label(transition):{width}} -> {target:9} {_steps(transition)}".rstrip())
    return lines


def _label(transition: Transition) -> str:
    guard = f" ({transition.guard.text})" if transition.guard else ""
    if transition.events == ENDINGS:
        return f"any end of the worker{guard}"
    return ", ".join(event.value for event in transition.events) + guard


def _steps(transition: Transition) -> str:
    steps = [step.value for step in transition.steps]
    if transition.goal:
        steps.append(f"goal: {transition.goal}")
    return "; ".join(steps)


def updated(page: str) -> str:
    """Return `page` with the current drawing between the markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{block()}{after}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
