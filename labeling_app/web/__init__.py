"""The server: routes, sign-in, guards, images, the page, and errors as answers."""
