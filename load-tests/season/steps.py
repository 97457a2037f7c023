"""What is done with the season, in order, each step killed now and then."""

import random


class Steps:
    def __init__(self, hopgate, work, orders, files, kills, tick):
        self.hopgate, self.work, self.orders, self.files, self.tick = hopgate, work, orders, files, tick
        self.dice = random.Random(f"{hopgate.dice.random()}:steps")
        self.left = kills

    def _some(self, most=1):
        """How many kills a step gets, out of what is left."""
        kills = min(self.left, most)
        self.left -= kills
        return kills

    def run(self, write_hops):
        hopgate, files = self.hopgate, self.files
        write_hops("plan-1.bin")
        hopgate.run("link", "import", self.work / "links.ndjson")
        self.positions(self.orders.explicit, "positions.csv")
        self.tick("links and positions imported")
        self.imports(files.first, "first half of the reports")
        self.background("archived, counted and settled once")
        write_hops("plan-2.bin")
        self.imports(files.second, "second half of the reports")
        self.positions(self.orders.later, "positions-late.csv")
        self.imports(files.mended, "mended rows")
        hopgate.run("orders", "quarantine", "retry")
        self.background("archived, counted and settled again")

    def positions(self, positions, name):
        path = self.work / name
        with open(path, "w") as out:
            out.write("network,position,kind,creator\n")
            out.writelines(f"{network},{text},{kind},{creator}\n" for network, kind, text, creator in positions)
        self.hopgate.run("orders", "position", "import", path)

    def imports(self, batches, what):
        """Every file twice, in any order."""
        twice = [batch for batch in batches for _ in range(2)]
        self.dice.shuffle(twice)
        killed = set(self.dice.sample(range(len(twice)), min(len(twice), self._some(max(1, self.left // 3)))))
        for n, (network, path) in enumerate(twice):
            self.hopgate.run("orders", "import", "--network", network, path, kills=int(n in killed))
        self.tick(f"{what}: {len(twice)} imports, {len(killed)} of them killed first")

    def background(self, what):
        self.hopgate.run("archive", "run", kills=self._some(2))
        self.hopgate.run("ledger", "settle", kills=self._some(3))
        for _ in range(self._some(2)):
            self.hopgate.serve_and_kill(4)
        self.tick(what)
