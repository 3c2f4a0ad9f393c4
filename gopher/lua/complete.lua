-- Store the results of jobs that ended well.
--
-- processing -> completed
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 default retention ms; then for each job: id, token, duration ms, result, log,
--       where a result or a log of '' is none
-- Returns  for each job OK, ALREADY, STALE or MISSING (see settle)
-- uses: base clock alarm arm dead ended finish release settle observe
local worker, answers = ARGV[1], {}
local finished = {} -- score and id of each, for one write
open_when_full()

for i = 3, #ARGV, 5 do
  local id = ARGV[i]
  local answer, job = settle(worker, id, ARGV[i + 1], ARGV[i + 4])
  answers[#answers + 1] = answer
  if answer == 'OK' then
    local fields = { 'duration', ARGV[i + 2] }
    if ARGV[i + 3] ~= '' then
      fields[3], fields[4] = 'result', ARGV[i + 3]
    end
    if finish_record(id, 'completed', job, ARGV[2], unpack(fields)) then
      finished[#finished + 1] = now_text
      finished[#finished + 1] = id
    end
    count('completed:' .. job.type, 1)
    observe('run', job.type, tonumber(ARGV[i + 2]))
  elseif answer == 'STALE' then
    count('stale', 1)
  end
end

if #finished > 0 then
  redis.call('ZADD', P .. 'finished', unpack(finished))
end
if ended_went > 0 then
  arm()
end
write_counts()
write_observations()
return answers
