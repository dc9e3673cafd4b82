// Finds and makes parts of the page.

const find = (id) => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

/** An element with properties and children; texts are texts, never HTML. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** What a form's option fields say; those left empty are left out, so that the model's own hold. */
function readOptions(form) {
  const options = {};
  for (const field of all(".options [name]", form)) {
    if (field.closest("[hidden]")) continue;
    if (field.type === "checkbox") options[field.name] = field.checked;
    else if (field.value !== "") options[field.name] = field.type === "number" ? Number(field.value) : field.value;
  }
  return options;
}

const readLines = (id) => find(id).value.split("\n").map((line) => line.trim()).filter(Boolean);
const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);

