// Elements. All text, whoever wrote it, becomes text nodes: nothing here or elsewhere parses HTML.

/** Return an element with attributes (`on…` are listeners) and children, which are elements or text. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** Set the text of an element, if it differs: an unchanged node costs no layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set an attribute, if it differs; null removes it. */
export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** Make `list`'s children those of `keys`, in this order: elements of keys that remain are kept, with their focus. */
export function keyed(list, known, keys, create, update) {
  const wanted = new Set(keys);
  for (const [key, item] of known) {
    if (wanted.has(key)) continue;
    item.element.remove();
    known.delete(key);
  }
  let previous = null;
  for (const key of keys) {
    let item = known.get(key);
    if (!item) known.set(key, (item = create(key)));
    update(item, key);
    const follows = previous ? previous.nextSibling : list.firstChild;
    if (follows !== item.element) list.insertBefore(item.element, follows);
    previous = item.element;
  }
}
