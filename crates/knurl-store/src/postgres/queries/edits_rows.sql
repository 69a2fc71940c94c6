-- $1 this node
-- How many rows of others every look at foreign changes has to add up.
select count(*)
from counters
where name > 'edits '
  and name < 'edits!'
  and name <> 'edits ' || $1::text
