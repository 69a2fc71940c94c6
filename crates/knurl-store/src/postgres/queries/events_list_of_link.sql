-- $1 link, $2 user, $3 type, $4 after id, $5 limit, $6 offset, $7 both together
-- Each half in its order and no longer than needed: of a union of two tables the planner would sort every row. And by both columns of the
-- index: asked for the order of ids alone, it would go through everybody's rows for a link that has few.
select id, link_id, user_id, event_type, at, details
from (
  (
    select id, link_id, user_id, event_type, at, details
    from events
    where (link_id, id) > ($1, $4)
      and link_id <= $1
      and ($2::bigint is null or user_id = $2)
      and ($3::text is null or event_type = $3)
    order by link_id, id
    limit $7
  )
  union all
  (
    select id, link_id, user_id, 'click', at, details
    from clicks
    where (link_id, id) > ($1, $4)
      and link_id <= $1
      and ($2::bigint is null or user_id = $2)
      and ($3::text is null or 'click' = $3)
    order by link_id, id
    limit $7
  )
) as found
order by link_id, id
limit $5 offset $6
