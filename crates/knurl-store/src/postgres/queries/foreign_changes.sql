-- $1 this node
-- Edits by everybody else, hand-made ones included.
select coalesce(sum(value), 0)::bigint
from counters
where name >= 'edits '
  and name < 'edits!'
  and name <> 'edits ' || $1::text
