-- What this database is to a move: the one it goes out of, the one it comes into, or both, one after the other
select role, move, other, state
from moving
