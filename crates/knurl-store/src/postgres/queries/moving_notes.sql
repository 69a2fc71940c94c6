-- $1 after part, $2 after a, $3 after b, $4 limit
select part, a, b, n
from moving_notes
where (part, a, b) > ($1, $2, $3)
order by part, a, b
limit $4
