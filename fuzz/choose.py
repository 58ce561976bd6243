"""Chooses few inputs that together reach nearly all: greedily, by the features that libFuzzer's merge noted for each."""
import sys

control, count_max = sys.argv[1], int(sys.argv[2])
lines = open(control).read().splitlines()
count = int(lines[0])
files = lines[2:2 + count]
features = {}
for line in lines[2 + count:]:
    kind, number, *rest = line.split()
    if kind == "FT":
        features[int(number)] = set(rest)
wanted = set().union(*features.values())
missing, chosen = set(wanted), []
while missing and len(chosen) < count_max:
    best = max(features, key=lambda number: len(features[number] & missing))
    gain = features.pop(best) & missing
    if not gain:
        break
    missing -= gain
    chosen.append(files[best])
print(f"{len(chosen)} inputs reach {len(wanted) - len(missing)} of {len(wanted)} features", file=sys.stderr)
print("\n".join(chosen))
