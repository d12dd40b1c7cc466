"""Verifies messages with the library standardwebhooks. Each line of standard input is a JSON object with the members
secret, headers and body. Prints one line for each: "valid", or the name of the error.
"""

import json
import sys

from standardwebhooks import Webhook

for line in sys.stdin:
    message = json.loads(line)
    try:
        Webhook(message["secret"]).verify(message["body"], message["headers"])
        print("valid")
    except Exception as error:
        print(type(error).__name__)
