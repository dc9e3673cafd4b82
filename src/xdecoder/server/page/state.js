// What is shown: the picture, its masks, the region that is meant, and the answers; every change can be undone.

const MOST_UNDONE = 50;
const NOTHING = { picture: null, masks: [], asked: null, region: null, notes: [] };

const state = { now: NOTHING, past: [], future: [], listeners: [], hidden: new WeakSet(), lit: null };

function onChange(listener) {
  state.listeners.push(listener);
}

function show(next) {
  const before = state.now;
  state.now = next;
  state.lit = null;
  for (const listener of state.listeners) listener(next, before);
}

/** A change that `undo` takes back. */
function change(update) {
  state.past = [...state.past, state.now].slice(-MOST_UNDONE);
  state.future = [];
  show({ ...state.now, ...update });
}

/** A new beginning, with nothing to take back. */
function begin(update) {
  state.past = [];
  state.future = [];
  show({ ...NOTHING, ...update });
}

function undo() {
  if (!state.past.length) return;
  state.future.push(state.now);
  show(state.past.pop());
}

function redo() {
  if (!state.future.length) return;
  state.past.push(state.now);
  show(state.future.pop());
}

