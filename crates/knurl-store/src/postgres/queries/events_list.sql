-- $1 after id, $2 limit, $3 offset, $4 both together
-- Each half in its order and no longer than needed: of a union of two tables the planner would sort every row.
select id, link_id, user_id, event_type, at, details
from (
  (
    select id, link_id, user_id, event_type, at, details
    from events
    where id > $1
    order by id
    limit $4
  )
  union all
  (
    select id, link_id, user_id, 'click', at, details
    from clicks
    where id > $1
    order by id
    limit $4
  )
) as found
order by id
limit $2 offset $3
