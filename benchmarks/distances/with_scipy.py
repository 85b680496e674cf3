"""SciPy's Dijkstra from the same organization; the sparse matrix of the roads is made beforehand.

As a program with the size as its argument.
"""

import sys

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from benchmarks.distances.roads import STORAGES, repeated, roads, say


def main() -> None:
    size = int(sys.argv[1])
    organization = STORAGES * size
    ways = [(start, end, metres) for start, end, metres, _ in roads(size)]
    ways += [(end, start, metres) for start, end, metres, two_way in roads(size) if two_way]
    start, end, metres = np.array(ways).T
    graph = csr_array((metres.astype(float), (start, end)), shape=(organization + 1, organization + 1))
    distances = dijkstra(graph, indices=organization)
    reached = distances[np.isfinite(distances)]
    seconds = repeated(lambda: dijkstra(graph, indices=organization), max(3, 12 // size))
    say(len(reached) - 1, int(reached.sum()), seconds=seconds)


if __name__ == "__main__":
    main()
