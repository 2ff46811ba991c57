cat > sagan.sbatch <<'END_OF_FILE_'
#!/bin/bash
#SBATCH --job-name=sagan
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --partition=gpu
#SBATCH --account=gans
#SBATCH --output=%x-%j.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --mem=0
#SBATCH --comment='two words'

module load cuda
source venv/bin/activate
command=(python -m sagan_jax.main --config=experiments/imagenet.py --workdir=gs://bucket/runs/1 --config.seed=1 'two words' 'it'"'"'s' '"quoted"' '$HOME ${HOME} $(id) $$ `id`' $'new\x0aline\x0a' $'\x09tab \\t \\\\ \x7f \xc2\x85 \xe2\x80\xa8 \xef\xbb\xbf' $'all \'of\'\x0a"them" $\'x\' \\' '*' '' '~' '#' -n '!x' '{a,b}' %s 'naïve ☃ 😀' END_OF_FILE)

# srun returns the largest exit code of its tasks. So that the most telling one
# is the largest, a task reports 1 to 27 (do not restart) as 101 to 127, above
# 75 and 76 (restart), and death by signal n as n, below them.
# shellcheck disable=SC2016
task='
trap : TERM INT  # The command gets them too; wait for it.
"$@"
code=$?
if ((code >= 1 && code <= 27)); then
  code=$((code + 100))
elif ((code >= 129 && code <= 155)); then
  code=$((code - 128))
fi
exit "$code"
'
trap : TERM
# A task that fails leaves it to the others to end, for five minutes at most.
srun --kill-on-bad-exit=0 --wait=300 --cpus-per-task=16 bash -c "$task" task "${command[@]}"
code=$?
if ((code >= 101 && code <= 127)); then
  code=$((code - 100))
elif ((code >= 1 && code <= 27)); then
  code=$((code + 128))
fi
echo "launch: the command ended with exit code $code"
if ((code == 75 || code == 76)); then
  if ((${SLURM_RESTART_COUNT:-0} < 3)); then
    scontrol requeue "$SLURM_JOB_ID"
  else
    echo "launch: not requeued again after 3 times"
  fi
fi
exit "$code"
END_OF_FILE_

sbatch sagan.sbatch
