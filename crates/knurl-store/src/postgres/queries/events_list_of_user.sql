-- $1 user, $2 type, $3 after id, $4 limit, $5 offset, $6 both together
-- Each half in its order and no longer than needed: of a union of two tables the planner would sort every row. And by both columns of the
-- index: asked for the order of ids alone, it would go through everybody's rows for a user that has few.
select id, link_id, user_id, event_type, at, details
from (
  (
    select id, link_id, user_id, event_type, at, details
    from events
    where (user_id, id) > ($1, $3)
      and user_id <= $1
      and ($2::text is null or event_type = $2)
    order by user_id, id
    limit $6
  )
  union all
  (
    select id, link_id, user_id, 'click', at, details
    from clicks
    where (user_id, id) > ($1, $3)
      and user_id <= $1
      and ($2::text is null or 'click' = $2)
    order by user_id, id
    limit $6
  )
) as found
order by user_id, id
limit $4 offset $5
