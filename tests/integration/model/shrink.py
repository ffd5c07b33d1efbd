"""Delta debugging: the least of a failing sequence that still fails."""


def shrink(ops, fails, tries=400):
    """`fails(ops)` -> bool. One operation less would not fail (or the tries are used up)."""
    pieces = 2
    while len(ops) > 1:
        step = max(1, len(ops) // pieces)
        for start in range(0, len(ops), step):
            shorter = ops[:start] + ops[start + step :]
            tries -= 1
            if tries < 0:
                return ops
            if shorter and fails(shorter):
                ops, pieces = shorter, max(2, pieces - 1)
                break
        else:
            if step == 1:
                return ops
            pieces = min(len(ops), pieces * 2)
    return ops
