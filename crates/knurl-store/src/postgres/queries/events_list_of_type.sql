-- $1 type, $2 after id, $3 limit, $4 offset, $5 both together
-- Each half in its order and no longer than needed: of a union of two tables the planner would sort every row. And by both columns of the
-- index: asked for the order of ids alone, it would go through everybody's rows for a type that has few.
select id, link_id, user_id, event_type, at, details
from (
  (
    select id, link_id, user_id, event_type, at, details
    from events
    where (event_type, id) > ($1, $2)
      and event_type <= $1
    order by event_type, id
    limit $5
  )
  union all
  (
    select id, link_id, user_id, 'click', at, details
    from clicks
    where 'click' = $1
      and id > $2
    order by id
    limit $5
  )
) as found
order by id
limit $3 offset $4
