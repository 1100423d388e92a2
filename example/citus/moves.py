#!/usr/bin/env python3
"""moves.py SOCKETS SECONDS MOVES LINES: 16 clients upsert through all nodes while shards move; nothing that was
acknowledged may be lost, and no key may be there twice. Reads objects with the key, one a line, from the file LINES."""

import json
import sys
import threading
import time

import psycopg

CLIENTS = 16
RETRIED = {'40001', '40P01', '57014'}


def connect(node):
    host, port = node
    return psycopg.connect(f'host={host} port={port} dbname=postgres user=postgres', autocommit=True)


def client(number, nodes, products, over, acknowledged, failures):
    """Each client writes products of its own, over and over: what it was last answered is what must be there."""
    connection = connect(nodes[number % len(nodes)])
    stock = 0
    while not over.is_set():
        stock += 1
        for product in products:
            if over.is_set():
                break
            payload = json.dumps(dict(product, stock=stock))
            while True:
                try:
                    answer = connection.execute('SELECT api.product_upsert(%s)', [payload]).fetchone()[0]
                    acknowledged[product['serial']] = answer['product']['stock']
                    break
                except psycopg.Error as error:
                    if error.sqlstate not in RETRIED:
                        failures.append(f'{error.sqlstate}: {error}')
                        over.set()
                        break
                    acknowledged['retries'] = acknowledged.get('retries', 0) + 1
                    time.sleep(0.05)


def move(coordinator, moves, seconds, over):
    """Moves shards from node to node until both the moves and the seconds are done."""
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
    return done


def main():
    nodes = [tuple(node.split(':')) for node in sys.argv[1].split(',')]
    with open(sys.argv[4]) as lines:
        products = [json.loads(line) for line in lines]
    over = threading.Event()
    failures = []
    acknowledged = [{} for _ in range(CLIENTS)]
    threads = [threading.Thread(target=client, args=(
        n, nodes, products[n::CLIENTS], over, acknowledged[n], failures)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    moves = move(nodes[0], int(sys.argv[3]), float(sys.argv[2]), over)
    over.set()
    for thread in threads:
        thread.join()

    retries = sum(answers.pop('retries', 0) for answers in acknowledged)
    stored = {}
    twice = 0
    for serial, stock in connect(nodes[0]).execute('SELECT serial, stock FROM product'):
        twice += serial in stored
        stored[serial] = stock
    answered = {serial: stock for answers in acknowledged for serial, stock in answers.items()}
    lost = sum(stored.get(serial, -1) < stock for serial, stock in answered.items())
    print(f'  {moves} moves, {len(answered)} keys acknowledged, {retries} calls tried again, '
          f'{lost} lost, {twice} twice')
    for failure in failures[:5]:
        print(failure)
    sys.exit(bool(failures or lost or twice))


if __name__ == '__main__':
    main()
