-- $1 link, $2 user, $3 type
select (
  select count(*)
  from events
  where link_id = $1
    and ($2::bigint is null or user_id = $2)
    and ($3::text is null or event_type = $3)
) + (
  select count(*)
  from clicks
  where link_id = $1
    and ($2::bigint is null or user_id = $2)
    and ($3::text is null or 'click' = $3)
)
