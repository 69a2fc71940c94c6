-- $1 after, $2 up to, $3 limit. Months on their way out are still there: whoever takes the database over removes them.
select id, link_id, user_id, event_type, at, details, source
from (
  (
    select id, link_id, user_id, event_type as event_type, at, details, null::bigint as source
    from events
    where id > $1 and id <= $2
    order by id
    limit $3
  )
  union all
  (
    select id, link_id, user_id, 'click' as event_type, at, details, source::bigint as source
    from clicks
    where id > $1 and id <= $2
    order by id
    limit $3
  )
  union all
  (
    select id, link_id, user_id, 'click' as event_type, at, details, source::bigint as source
    from clicks_gone
    where id > $1 and id <= $2
    order by id
    limit $3
  )
) as event
order by id
limit $3
