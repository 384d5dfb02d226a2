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
        self.server, self.name, self.scale = server, name, scale
        self.times, self.made_ids = 1, {}
        begin = time.monotonic()
        server.create(name)
        server.run_file(SETS / f"{name}.sql", name, scale=scale)
        self._finish()
        self.seconds = time.monotonic() - begin

    def _finish(self):
        self.server.ask("VACUUM ANALYZE", self.name)
        self.server.ask("CHECKPOINT")
        lines = [line.split("|") for line in self.server.ask(TABLES, self.name).splitlines()]
        self.tables = [(table, int(size), int(blocks)) for table, size, blocks in lines]
        self.size = self.server.bytes_of(self.name)
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

    def append(self, turn, share=0.01):
        """One more row for every hundred of the shop, with new keys, at the ends of its tables; or for another share."""
        for table in SHOP_TABLES:
            new_id = f"(SELECT max(id) FROM {table}) + row_number() OVER (ORDER BY id)"
            self._copy_rows(table, new_id, turn, f"{dice(turn)} < {share}")
        self._settle()

    def update(self, turn, chance="0.01"):
        """Changes one row of a hundred, wherever it is; or each with another chance, in SQL, which may name `id` and :newest."""
        for table, change in SHOP_TABLES.items():
            of_this = chance.replace(":newest", f"(SELECT max(id) FROM {table})::float8")
            self.server.ask(f"UPDATE {table} SET {change} WHERE {dice(turn + 100)} < {of_this}", self.name)
        self._settle()

    def grow(self, times):
        """To so many times what was made: the shop's and the ledger's rows again under other ids, which is faster than making rows.
        They look at nothing that is far away when they are compressed, so they cost what new ones would."""
        for table in (*SHOP_TABLES, "ledger"):
            made = self.made_ids.setdefault(table, int(self.server.ask(f"SELECT max(id) FROM {table}", self.name)))
            for copy in range(self.times, times):
                # Without looking up what foreign keys refer to: it is there.
                unchecked = "SET session_replication_role = replica;"
                self._copy_rows(table, f"id + {copy * made}", copy, f"id <= {made}", unchecked)
        self.times = times
        self._finish()

    def _copy_rows(self, table, new_id, mark, condition, before=""):
        """Rows of the table again, in the order of their ids."""
        columns = self.server.ask(
            f"SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute "
            f"WHERE attrelid = '{table}'::regclass AND attnum > 0 AND attname NOT IN ('id', 'sku')",
            self.name,
        )
        sku, value = (", sku", f", sku || '-{mark}'") if table == "products" else ("", "")
        self.server.ask(
            f"{before} INSERT INTO {table} (id, {columns}{sku}) SELECT {new_id}, {columns}{value} FROM {table} "
            f"WHERE {condition} ORDER BY id",
            self.name,
        )

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


def dice(seed):
    """SQL for a number from 0 to 1 that falls for the row `id`, the same in every run."""
    return f"((hashint8extended(id, {seed}) & 9223372036854775807) / 9223372036854775808.0::float8)"
