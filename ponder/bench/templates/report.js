"use strict";
// Everything here comes from models and is shown as text: only textContent is ever set, never markup.
(() => {
  const traces = JSON.parse(document.getElementById("traces").textContent);
  const viewer = document.getElementById("viewer");
  if (!traces.length || !viewer) return;
  viewer.hidden = false;
  const list = viewer.querySelector(".list"), pane = viewer.querySelector(".trace");
  const pick = viewer.querySelector("#method"), verdict = viewer.querySelector("#verdict"), find = viewer.querySelector("#find");

  const make = (tag, kind, text) => {
    const node = document.createElement(tag);
    if (kind) node.className = kind;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const word = (t) => (t.correct === null ? "unjudged" : t.correct ? "right" : "wrong");
  const mark = (t) => ({ right: "✓", wrong: "✗", unjudged: "?" })[word(t)];
  const count = (t) => (t.exact ? "" : "≈ ") + t.tokens.toLocaleString("en");
  const key = (t) => [t.task, t.id, t.method, t.seed].join("/");
  const spoken = { right: "right", wrong: "wrong", unjudged: "cannot be judged" };

  for (const method of new Set(traces.map((t) => t.method))) pick.append(new Option(method, method));

  let shown = [], current = null;

  const fill = () => {
    const words = find.value.toLowerCase();
    shown = traces.filter((t) =>
      (!pick.value || t.method === pick.value) &&
      (!verdict.value || (verdict.value === "cut" ? t.truncated : word(t) === verdict.value)) &&
      (!words || (t.id + "\n" + t.question).toLowerCase().includes(words)));
    list.replaceChildren(...shown.map((t) => {
      const button = make("button");
      button.type = "button";
      button.append(make("span", word(t), mark(t)), make("span", "what", t.id), make("span", "", count(t)),
        make("span", "sub", t.method + (t.truncated ? " · cut" : "")));
      button.firstChild.title = spoken[word(t)];
      button.addEventListener("click", () => open(t));
      button.trace = t;
      return button;
    }));
    if (!shown.length) list.append(make("p", "small", "No attempt fits these filters."));
    highlight();
  };

  const highlight = () => {
    for (const button of list.querySelectorAll("button")) button.setAttribute("aria-current", String(button.trace === current));
  };

  const segment = ([kind, text, tokens, finish]) => {
    const node = make("div", "segment " + kind);
    const said = [kind === "forced" ? "forced: written by the method, not by the model" : kind];
    if (tokens !== null) said.push(tokens.toLocaleString("en") + (tokens === 1 ? " token" : " tokens"));
    if (finish) said.push("ended: " + finish);
    node.append(make("b", "", said.join(" · ")), make("pre", "", text));
    return node;
  };

  // A line for each step of a search, as ponder show --tree prints it; one line is no tree.
  const tree = (lines) => {
    if (lines.length < 2) return [];
    const node = make("details", "tree");
    node.append(make("summary", "", "Tree: " + lines.length.toLocaleString("en") + " steps"));
    for (const [fate, said, text] of lines) {
      const line = make("div", fate);
      line.append(make("span", "", said + "  "), make("i", "", text));
      node.append(line);
    }
    return [node];
  };

  const show = (t) => {
    current = t;
    const head = make("h4", "", t.method + " ");
    head.append(make("span", word(t), mark(t) + " " + spoken[word(t)]));
    const facts = [count(t) + " tokens", "ended: " + t.finish + (t.truncated ? ", cut by a limit" : ""), "seed " + t.seed, t.task + " · " + t.id];
    const judged = ["answer read: " + (t.extracted === null ? "none" : t.extracted)];
    if (t.reference !== null) judged.push("reference: " + t.reference);
    const others = make("div", "others");
    for (const o of traces.filter((o) => o.task === t.task && o.id === t.id)) {
      const button = make("button", "", o.method + (o.seed === t.seed ? "" : " · seed " + o.seed) + " " + count(o) + " ");
      button.type = "button";
      button.append(make("span", word(o), mark(o)));
      button.setAttribute("aria-current", String(o === t));
      button.addEventListener("click", () => open(o));
      others.append(button);
    }
    pane.replaceChildren(head, make("p", "small", facts.join(" · ")), make("div", "question", t.question),
      make("p", "small", judged.join(" · ")), others, ...tree(t.tree), ...t.segments.map(segment));
    pane.scrollTop = 0;
    highlight();
  };

  // A link to what is being read; opening the page leaves its address alone.
  const open = (t) => {
    show(t);
    history.replaceState(null, "", "#" + encodeURIComponent(key(t)));
  };

  for (const control of [pick, verdict, find]) control.addEventListener("input", fill);
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = shown[Math.max(0, Math.min(shown.length - 1, shown.indexOf(current) + step))];
    if (!next) return;
    open(next);
    list.querySelectorAll("button")[shown.indexOf(next)].focus();
  });

  fill();
  const linked = traces.find((t) => "#" + encodeURIComponent(key(t)) === location.hash);
  show(linked || traces[0]);
  if (linked) viewer.scrollIntoView({ behavior: "instant" });
})();
