"""Sends a request with http.client. Prints the response, or the error, as one line of JSON.

usage: client.py URL METHOD HEADERS-AS-JSON FILE
"""

import http.client
import json
import sys
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 120


def send(url, method, headers, file):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
    try:
        with open(file, "rb") as body:
            connection.request(method, parts.path, body.read(), headers)
        response = connection.getresponse()
        return {"status": response.status, "text": response.read().decode()}
    except Exception as error:
        return {"failure": type(error).__name__}
    finally:
        connection.close()


_, url, method, headers, file = sys.argv
print(json.dumps(send(url, method, json.loads(headers), file)))
