#!/usr/bin/python3
"""
clients.py SOCKET PATH BRAND PRODUCTS: two clients post the same new products of the brand to a server on a Unix
socket. For each product both are connected before either posts it, so the requests leave at the same moment.

Prints each status that was answered, and how often.
"""
import json
import socket
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from threading import Barrier

CLIENTS = 2
TIMEOUT = 60  # seconds


class UnixConnection(HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self.path)


def client(server, path, brand, products, together):
    answers = Counter()
    for n in range(products):
        product = {"brand": brand, "serial": f"A-{n}", "manufacturer": f"{brand} Corp", "name": "Anvil", "stock": n}
        connection = UnixConnection(server)
        connection.connect()
        together.wait(TIMEOUT)
        connection.request("POST", path, json.dumps(product), {"Content-Type": "application/json"})
        answers[connection.getresponse().status] += 1
        connection.close()
    return answers


def main(server, path, brand, products):
    together = Barrier(CLIENTS)
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(client, server, path, brand, int(products), together) for _ in range(CLIENTS)]
    for status, times in sorted(sum((client.result() for client in clients), Counter()).items()):
        print(status, times)


main(*sys.argv[1:])
