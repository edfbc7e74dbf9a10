"""requests: bodies that are read within a bound, and where a redirect leads."""

from urllib.parse import SplitResult, urljoin, urlsplit

import requests


def read_within(response: requests.Response, most: int) -> None:
    """Read the body, unpacked, before anybody else does; it is at most so many bytes long.

    Raises:
        requests.ConnectionError: it is longer; the rest is not read.
    """
    chunks, size = [], 0
    try:
        for chunk in response.iter_content(1 << 16):
            size += len(chunk)
            if size > most:
                raise requests.ConnectionError(f"the answer is longer than {most:,} bytes; it was not read to its end")
            chunks.append(chunk)
    except BaseException:
        response.close()  # a connection with an unread rest serves no further request
        raise
    response._content = b"".join(chunks)  # where ``Response.content`` looks for a body that has been read


def leads_away(response: requests.Response) -> str | None:
    """The scheme, host and port to which the answer redirects, if they are not those of the request."""
    if not response.is_redirect:
        return None
    here = urlsplit(response.url)
    there = urlsplit(urljoin(response.url, response.headers["location"]))
    return None if _origin(here) == _origin(there) else f"{there.scheme}://{there.netloc}"


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or {"https": 443, "http": 80}.get(url.scheme)
