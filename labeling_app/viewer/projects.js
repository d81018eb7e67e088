// The list of a server's projects: it stands in the page, so that it can be read without this.

import { enter } from "./entrance.js";

enter("projects.title");
