"""What is done with the season, in order, each step killed now and then."""

import random
from collections import Counter


# Where kills go, one after the other, round and round.
TURNS = ("imports 1", "settle 1", "imports 2", "settle 2", "archive 1", "serve 2", "archive 2", "serve 1", "mended", "links")


class Steps:
    def __init__(self, hopgate, work, orders, files, kills, tick):
        self.hopgate, self.work, self.orders, self.files, self.tick = hopgate, work, orders, files, tick
        self.dice = random.Random(f"{hopgate.dice.random()}:steps")
        self.kills = Counter(TURNS[n % len(TURNS)] for n in range(kills))

    def run(self, write_hops):
        hopgate, files = self.hopgate, self.files
        write_hops("plan-1.bin")
        # A killed import has stored whole batches: what is taken then is told, and well.
        hopgate.run("link", "import", self.work / "links.ndjson", kills=self.kills["links"], after_kill=(1,))
        self.positions(self.orders.explicit, "positions.csv")
        self.tick("links and positions imported")
        self.imports(files.first, "imports 1", "first half of the reports")
        self.background("1", "sealed, counted and settled once")
        write_hops("plan-2.bin")
        self.imports(files.second, "imports 2", "second half of the reports")
        self.positions(self.orders.later, "positions-late.csv")
        self.imports(files.mended, "mended", "mended rows")
        hopgate.run("orders", "quarantine", "retry")
        self.background("2", "sealed, counted and settled again")

    def positions(self, positions, name):
        path = self.work / name
        with open(path, "w") as out:
            out.write("network,position,kind,creator\n")
            out.writelines(f"{network},{text},{kind},{creator}\n" for network, kind, text, creator in positions)
        self.hopgate.run("orders", "position", "import", path)

    def imports(self, batches, turn, what):
        """Every file twice, in any order."""
        twice = [batch for batch in batches for _ in range(2)]
        self.dice.shuffle(twice)
        kills = Counter(self.dice.choice(range(len(twice))) for _ in range(self.kills[turn]))
        for n, (network, path) in enumerate(twice):
            self.hopgate.run("orders", "import", "--network", network, path, kills=kills[n])
        self.tick(f"{what}: {len(twice)} imports")

    def background(self, turn, what):
        self.hopgate.run("archive", "run", kills=self.kills[f"archive {turn}"])
        for _ in range(self.kills[f"serve {turn}"]):
            self.hopgate.serve_and_kill(4)
        self.hopgate.run("ledger", "settle", kills=self.kills[f"settle {turn}"])
        # What is counted by now may go from the journal.
        self.hopgate.run("archive", "run")
        self.tick(what)
