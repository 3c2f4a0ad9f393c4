-- Store the progress of running jobs and what they have logged so far.
--
-- KEYS  1 prefix
-- ARGV  for each job: id, token, progress (JSON) or '', log or ''
-- Returns  for each job OK, or STALE when the attempt is over

local answers = {}
allow_when_full()

for i = 1, #ARGV, 4 do
  local record = P .. KEY.job .. ARGV[i]
  local fields = read_record(ARGV[i], 'token', 'state')
  if fields[1] == ARGV[i + 1] and fields[2] == STATE.processing then
    if ARGV[i + 2] ~= '' then
      redis.call('HSET', record, 'progress', ARGV[i + 2])
    end
    keep_log(ARGV[i], ARGV[i + 3])
    answers[#answers + 1] = 'OK'
  else
    answers[#answers + 1] = 'STALE'
  end
end
return answers
