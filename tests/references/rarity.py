"""Gini index and groups by rank as the definitions say, class by class in float64."""


def gini(counts):
    """Mean absolute difference of all pairs over twice the mean."""
    number = len(counts)
    pairs = sum(abs(float(a) - float(b)) for a in counts for b in counts)
    return pairs / (2 * number * sum(map(float, counts)))


def groups(counts):
    """A class is rare with fewer than the class after the rarest fifth has, and so on."""
    rising = sorted(counts)
    low, high = rising[len(counts) // 5], rising[2 * len(counts) // 5]
    found = {'rare': set(), 'common': set(), 'frequent': set()}
    for index, count in enumerate(counts):
        name = 'rare' if count < low else 'common' if count < high else 'frequent'
        found[name].add(index)
    return found
