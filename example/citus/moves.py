#!/usr/bin/env python3
"""Moves shards from node to node while clients upsert through all nodes, and convicts lost writes and second rows.

Two clients at a time write the same products, one by single calls, the other by arrays. Each write stores a number of
its own, and its answer has the number that it found. So a write is lost if its number is neither stored nor found by
another.
"""

import argparse
import json
import sys
import threading
import time

import psycopg

CLIENTS = 16
ARRAY = 8
RETRIED = {'40001', '40P01', '57014'}

# Writes to the shard as to any other table.
WITHOUT_LOCK = '''
    CREATE OR REPLACE FUNCTION api.upsert_shard(serial text, payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
    BEGIN
        RETURN product_upsert(format('product_%s', get_shard_id_for_distribution_column('product', serial))::regclass,
                              payload, on_create => '{"id": 0}');
    END $$
'''


def connect(node):
    host, port = node.split(':')
    return psycopg.connect(f'host={host} port={port} dbname=postgres user=postgres', autocommit=True)


class Client(threading.Thread):
    def __init__(self, number, nodes, products, over):
        super().__init__()
        self.number = number
        self.connection = connect(nodes[number % len(nodes)])
        self.products = products[number // 2::CLIENTS // 2]
        self.over = over
        self.writes = []  # serial, number found, number stored
        self.calls = 0
        self.retries = 0
        self.failure = None

    def run(self):
        size = ARRAY if self.number % 2 else 1
        try:
            while not self.over.is_set():
                for i in range(0, len(self.products), size):
                    self.write(self.products[i:i + size])
                    if self.over.is_set():
                        break
        except psycopg.Error as error:
            self.failure = f'{error.sqlstate}: {error}'
            self.over.set()

    def write(self, products):
        self.calls += 1
        stock = self.calls * CLIENTS + self.number
        payload = [dict(product, stock=stock) for product in products]
        for answer in self.upsert(payload if len(payload) > 1 else payload[0]):
            previous = answer.get('previous') or {}
            self.writes.append((answer['product']['serial'], previous.get('stock'), stock))

    def upsert(self, payload):
        while True:
            try:
                answer, = self.connection.execute('SELECT api.product_upsert(%s)', [json.dumps(payload)]).fetchone()
                return answer if isinstance(answer, list) else [answer]
            except psycopg.Error as error:
                if error.sqlstate not in RETRIED:
                    raise
                self.retries += 1
                time.sleep(0.05)


def move_shards(coordinator, moves, seconds, over):
    """Moves one shard after another until both the moves and the seconds are done. Returns how many."""
    connection = connect(coordinator)
    end = time.monotonic() + seconds
    done = 0
    while not over.is_set() and (done < moves or time.monotonic() < end):
        shard, host, port = connection.execute('''
            SELECT shardid, nodename, nodeport FROM citus_shards WHERE table_name = 'product'::regclass
             ORDER BY shardid OFFSET %s LIMIT 1''', [done % 8]).fetchone()
        to = connection.execute('''
            SELECT nodename, nodeport FROM pg_dist_node WHERE (nodename, nodeport) <> (%s, %s) AND shouldhaveshards
             ORDER BY nodeport OFFSET %s LIMIT 1''', [host, port, done % 2]).fetchone()
        mode = ('block_writes', 'force_logical')[done // 2 % 2]
        try:
            connection.execute('SELECT citus_move_shard_placement(%s, %s, %s, %s, %s, %s)',
                               [shard, host, port, *to, mode])
            done += 1
        except psycopg.Error as error:
            print(f'  a move is tried again: {error.sqlstate} {str(error).splitlines()[0]}')
            time.sleep(0.05)
    return done


def lost_writes(writes, stored):
    found = {(serial, before) for serial, before, _ in writes}
    return [(serial, after) for serial, _, after in writes
            if (serial, after) not in found and stored.get(serial) != after]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=60)
    parser.add_argument('--moves', type=int, default=20)
    parser.add_argument('--without-lock', action='store_true', help='write to shards as to any table: loses rows')
    parser.add_argument('products', help='file of objects with the key, one a line')
    parser.add_argument('nodes', nargs='+', help='HOST:PORT, the coordinator first')
    arguments = parser.parse_args()

    if arguments.without_lock:
        connect(arguments.nodes[0]).execute(WITHOUT_LOCK)
    with open(arguments.products) as lines:
        products = [json.loads(line) for line in lines]
    over = threading.Event()
    clients = [Client(number, arguments.nodes, products, over) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    moves = move_shards(arguments.nodes[0], arguments.moves, arguments.seconds, over)
    over.set()
    for client in clients:
        client.join()

    rows = connect(arguments.nodes[0]).execute('SELECT serial, stock FROM product').fetchall()
    stored = dict(rows)
    writes = [write for client in clients for write in client.writes]
    lost = len(lost_writes(writes, stored))
    twice = len(rows) - len(stored)
    print(f'  {moves} moves, {sum(client.calls for client in clients)} calls, {len(writes)} rows written, '
          f'{sum(client.retries for client in clients)} calls tried again, {lost} rows lost, {twice} twice')
    failures = [client.failure for client in clients if client.failure]
    print(*failures[:5], sep='\n', end='')
    sys.exit(bool(failures or lost or twice))


if __name__ == '__main__':
    main()
