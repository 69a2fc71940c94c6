-- $1 type
select case
  when $1 = 'click' then knurl_total('clicks')
  else (select count(*) from events where event_type = $1)
end
