"""MCTS by llm-reasoners: a JSON line with messages in, a line with the reply out; steps come from a server.

Runs in its environment: python llm_reasoners_mcts.py URL MODEL DELIMITER WIDTH ITERATIONS STEP DEPTH TEMPERATURE

The library searches; what a step is and what it is worth are written by its users, as here: `WIDTH` samples of one
request, equal ones once, each worth e to its mean log-probability. All else is its default.
"""

from __future__ import annotations

import json
import math
import sys
import urllib.request
from typing import Any, NamedTuple

from reasoners import SearchConfig, WorldModel
from reasoners.algorithm import MCTS


class Text(NamedTuple):
    """A reply so far; `ended` says that the model ended it."""

    text: str = ""
    ended: bool = False


class Step(NamedTuple):
    """What is added to it."""

    text: str
    ended: bool
    worth: float


class World(WorldModel):  # type: ignore[misc]
    """A reply that grows by what is added to it."""

    def init_state(self) -> Text:
        """Return the reply of which nothing is written."""
        return Text()

    def step(self, state: Text, action: Step) -> tuple[Text, dict[str, float]]:
        """Return the reply with a step more."""
        return Text(state.text + action.text, action.ended), {}

    def is_terminal(self, state: Text) -> bool:
        """Whether the model has ended it."""
        return state.ended


class Steps(SearchConfig):  # type: ignore[misc]
    """Asks the server for steps."""

    def __init__(self, url: str, model: str, delimiter: str, width: int, step: int, temperature: float) -> None:
        super().__init__()
        self._url = url.rstrip("/") + "/chat/completions"
        self._delimiter = delimiter
        self._body = {
            "model": model,
            "n": width,
            "max_tokens": step,
            "temperature": temperature,
            "logprobs": True,
            "stop": [delimiter],
            "include_stop_str_in_output": True,
        }

    def get_actions(self, state: Text) -> list[Step]:
        """Return different next steps."""
        body: dict[str, Any] = {**self._body, "messages": self.example}
        if state.text:
            body["messages"] = [*self.example, {"role": "assistant", "content": state.text}]
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        request = urllib.request.Request(
            self._url, json.dumps(body).encode(), {"Content-Type": "application/json", "Authorization": "Bearer none"}
        )
        with urllib.request.urlopen(request, timeout=600) as reply:
            choices = json.load(reply)["choices"]
        return list({step.text: step for step in map(self._step, choices)}.values())

    def _step(self, choice: dict[str, Any]) -> Step:
        text = choice["message"]["content"] or ""
        values = [token["logprob"] for token in choice["logprobs"]["content"]]
        ended = choice["finish_reason"] == "stop" and choice.get("stop_reason") != self._delimiter
        return Step(text, ended, math.exp(math.fsum(values) / len(values)) if values else 0.0)

    def fast_reward(self, state: Text, action: Step) -> tuple[float, dict[str, float]]:
        """Return what a step is worth before it is taken."""
        return action.worth, {}

    def reward(self, state: Text, action: Step, **details: float) -> tuple[float, dict[str, float]]:
        """Return what it is worth: the same."""
        return action.worth, {}


def main(
    url: str, model: str, delimiter: str, width: str, iterations: str, step: str, depth: str, temperature: str
) -> None:
    """Answer until the input ends."""
    config = Steps(url, model, delimiter.replace("\\n", "\n"), int(width), int(step), float(temperature))
    world = World()
    for line in sys.stdin:
        config.update_example(json.loads(line))
        search = MCTS(n_iters=int(iterations), depth_limit=int(depth), disable_tqdm=True)
        found = search(world, config).terminal_state
        print(json.dumps({"text": found.text if found else ""}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
