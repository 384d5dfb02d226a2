"""The data sets: what their SQL in `sets/` makes, the same rows in every run, and how much of it there is."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETS = Path(__file__).parent / "sets"
NAMES = ("shop", "documents", "many", "ledger")
TABLES = """
SELECT format('%I.%I', n.nspname, c.relname), pg_table_size(c.oid), pg_relation_size(c.oid) / current_setting('block_size')::int
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY 2 DESC, 1
"""


class DataSet:
    """A database that was filled. `plaintext` is the size of its rows as COPY writes them."""

    def __init__(self, server, name, scale):
        self.server, self.name = server, name
        begin = time.monotonic()
        server.create(name)
        server.run_file(SETS / f"{name}.sql", name, scale=scale)
        server.ask("VACUUM ANALYZE", name)
        server.ask("CHECKPOINT")
        self.seconds = time.monotonic() - begin
        lines = [line.split("|") for line in server.ask(TABLES, name).splitlines()]
        self.tables = [(table, int(size), int(blocks)) for table, size, blocks in lines]
        self.size = server.bytes_of(name)
        self.plaintext = self._count()

    @property
    def url(self):
        return self.server.url(self.name)

    def _count(self):
        # From a file: who writes thousands of statements into a pipe while nobody reads the rows waits for ever.
        with tempfile.TemporaryFile() as statements:
            statements.write("".join(f"COPY {table} TO STDOUT;\n" for table, _, _ in self.tables).encode())
            statements.seek(0)
            command = [*self.server.psql, "--dbname", self.name, "--file", "-"]
            copying = subprocess.Popen(command, stdin=statements, stdout=subprocess.PIPE)
        count = 0
        while part := copying.stdout.read(1 << 20):
            count += len(part)
        if copying.wait() != 0:
            sys.exit(f"the rows of {self.name} could not be counted")
        return count

    def shares(self, many=2):
        """COPY statements for everything, in shares of about the same size: large tables in two halves by their blocks."""
        whole = sum(size for _, size, _ in self.tables)
        parts = []
        for table, size, blocks in self.tables:
            if size * 8 < whole or blocks < 2:
                parts.append((size, f"COPY {table} TO STDOUT;"))
            else:
                for condition in (f"ctid < '({blocks // 2},0)'", f"ctid >= '({blocks // 2},0)'"):
                    parts.append((size / 2, f"COPY (SELECT * FROM ONLY {table} WHERE {condition}) TO STDOUT;"))
        shares = [[0, []] for _ in range(many)]
        for size, statement in sorted(parts, reverse=True):
            least = min(shares, key=lambda share: share[0])
            least[0] += size
            least[1].append(statement)
        return [statements for _, statements in shares]

    def append(self, turn):
        """One more row for every hundred of the shop, with new keys, at the ends of its tables."""
        for table in SHOP_TABLES:
            self.server.ask(_append(self.server, self.name, table, turn), self.name)
        self._settle()

    def update(self, turn):
        """Changes one row of a hundred, wherever it is."""
        for table, change in SHOP_TABLES.items():
            self.server.ask(f"UPDATE {table} SET {change} WHERE abs(hashint8extended(id, {turn + 100}) % 100) = 0", self.name)
        self._settle()

    def _settle(self):
        """Whoever reads new rows first notes on them that they are committed; that should be none of the contenders."""
        for table in SHOP_TABLES:
            self.server.ask(f"SELECT count(*) FROM {table}", self.name)


# In the order in which their foreign keys allow rows to be added, and what an update of a row may be.
SHOP_TABLES = {
    "customers": "credit = credit + 1, seen_at = seen_at + interval '1 day'",
    "products": "stock = stock + 7, price = price + 1",
    "orders": "state = 'returned', total = total + 1",
    "items": "quantity = quantity + 1, gift = NOT gift",
    "reviews": "helpful = helpful + 1, body = body || ' Edited.'",
}


def _append(server, database, table, turn):
    """Rows of the table again, other ones each turn, under ids that follow the last."""
    columns = server.ask(
        f"SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute "
        f"WHERE attrelid = '{table}'::regclass AND attnum > 0 AND attname NOT IN ('id', 'sku')",
        database,
    )
    sku, value = (", sku", f", sku || '-{turn}'") if table == "products" else ("", "")
    return (
        f"INSERT INTO {table} (id, {columns}{sku}) "
        f"SELECT (SELECT max(id) FROM {table}) + row_number() OVER (ORDER BY id), {columns}{value} FROM {table} "
        f"WHERE abs(hashint8extended(id, {turn}) % 100) = 0 ORDER BY id"
    )
