// Which project this page belongs to: a server of several has each below an address of its own.

/** The project's own address: "/" of a server that labels one manifest, "/NAME/" of one that labels several. */
const HOME = new URL(".", document.baseURI).pathname;

/** The project's name; "" where there is only one. */
export const PROJECT = decodeURIComponent(HOME.slice(1, -1));

/** The list of the server's projects. */
export const ALL = new URL("..", new URL(".", document.baseURI)).pathname;

/** What stands in the keys of this browser's storage, which all projects of a server share. */
export const SPACE = PROJECT ? `:${PROJECT}` : "";

/** Return where the server has `path` ("/api/session") of this project. */
export function at(path) {
  return HOME + path.slice(1);
}
