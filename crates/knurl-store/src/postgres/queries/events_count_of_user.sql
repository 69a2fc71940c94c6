-- $1 user, $2 type
select (
  select count(*)
  from events
  where user_id = $1
    and ($2::text is null or event_type = $2)
) + (
  select count(*)
  from clicks
  where user_id = $1
    and ($2::text is null or 'click' = $2)
)
