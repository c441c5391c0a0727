"""The habits, by what they are for; they are typed in this order, in one namespace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.cluster.live.habits.habit import END, INTERRUPT, Habit, watching

IMAGE = "registry.lab:5000/llm-inference:1.0"
_PROMPT = r"[$#] "

LOOK = (
    watching("kubectl get pods -w", r"web-\w+"),
    Habit("kubectl get deploy,svc,pods -o wide", r"NODE(.|\n)*node-1"),
    Habit("kubectl get deploy web -o yaml", r"kind: Deployment"),
    Habit("kubectl get pods -l app=web -o jsonpath='{.items[*].spec.nodeName}'", r"node-1"),
    Habit("kubectl get pods -o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName", r"NODE(.|\n)*tool"),
    Habit("kubectl get pods -A --sort-by=.metadata.creationTimestamp", r"llm-lab +web-"),
    Habit("kubectl get pods --field-selector=status.phase=Running --show-labels", r"app=web"),
    Habit("kubectl get all", r"replicaset.apps/web"),
    Habit("kubectl describe deploy web", r"ScalingReplicaSet"),
    Habit("kubectl describe node gpu-node-1", r"nvidia.com/gpu"),
    Habit("kubectl events --for pod/tool", r"Started"),
    Habit("kubectl get events --sort-by=.lastTimestamp", r"Created"),
    Habit(
        "kubectl top nodes",
        r"CPU\(cores\)(.|\n)*gpu-node-1",
        "works, a few seconds after a start",
        tries=True,
    ),
    Habit("kubectl top pods --containers", r"beat", tries=True),
    Habit("kubectl explain deployment.spec.strategy", r"RollingUpdate"),
    Habit("kubectl api-resources", r"horizontalpodautoscalers"),
    Habit("kubectl auth can-i create deployments", r"yes"),
    Habit("kubectl auth can-i create pods --as=nobody", r"no", status=1),
    Habit("kubectl auth whoami", r"Username"),
    Habit("kubectl version", r"Server Version: v1"),
    Habit("kubectl cluster-info", r"control plane.* is running at"),
    Habit("kubectl cluster-info dump --namespaces llm-lab | head -1", r"\{"),
    Habit("kubectl get --raw '/readyz?verbose'", r"readyz check passed"),
    Habit(
        "kubectl get componentstatuses",
        r"etcd-0 +Healthy",
        "etcd is correct; scheduler and controller-manager say Unhealthy, as on any cluster where they don't "
        "listen on their default ports. `labkit status` shows all parts",
    ),
    Habit("kubectl config current-context", r"\w+"),
    Habit("kubectl config view --minify", r"namespace: llm-lab"),
    watching("kubectl proxy --port=0", r"Starting to serve on"),
)

LOGS = (
    watching("kubectl logs -f deploy/web -c beat", r"beat"),
    Habit("kubectl logs deploy/web -c beat --tail=2", r"beat\s+beat\s*$"),
    Habit("kubectl logs deploy/web -c beat --since=1m --timestamps", r"20\d\d-.*Z beat"),
    Habit("kubectl logs -l app=web --all-containers --prefix --tail=1", r"\[pod/web-\S+/beat\] beat"),
    Habit("kubectl logs moody --previous", r"so long", tries=True),
    Habit("kubectl logs deploy/web -c nobody", r"container nobody is not valid", status=1),
)

INSIDE = (
    Habit(
        "kubectl exec -it tool -- sh",
        r"/dev/pts/\d+\s+31 91(.|\n)*terminated with exit code 5",
        "a terminal of its own: `tty` names it, its size follows the window, Ctrl-C ends what runs in it",
        status=5,
        keys=(
            (_PROMPT, "tty; stty size\n"),
            (r"31 91\s+" + _PROMPT, "sleep 1000\n"),
            ("sleep 1000", INTERRUPT),
            (_PROMPT, "exit 5\n"),
        ),
    ),
    Habit("kubectl exec -it tool -- bash", r"exit", keys=((_PROMPT, END),), note="Ctrl-D leaves"),
    Habit("kubectl exec tool -- sh -c 'exit 3'", r"exit code 3", "its exit status is kubectl's", status=3),
    Habit("echo hello | kubectl exec -i tool -- tr a-z A-Z", r"HELLO"),
    Habit("kubectl exec deploy/web -c beat -- hostname", r"web-"),
    Habit("kubectl cp notes.txt tool:/tmp/notes.txt", r"^\s*$", first="echo remember > notes.txt"),
    Habit("kubectl cp tool:/tmp/notes.txt back.txt", r"^\s*(tar: .*)?\s*$"),
    Habit(
        "kubectl cp notes.txt bare:/tmp/notes.txt",
        r'exec: "tar": No such file(.|\n)*exit code 127',
        "`bare` has no `tar`: the image must contain it, as on any cluster",
        status=127,
        refused=True,
    ),
    watching(
        "kubectl attach tool",
        r"tick",
        "its output from now on; with `stdin: true` also its input",
    ),
    Habit(
        "kubectl port-forward svc/web 18080:80",
        r"Handling connection for 18080",
        "works, also for a port that no manifest declares, if a process of the pod listens on it. "
        "`labkit url svc/web` prints an address that needs no forward",
        status=None,
        keys=((r"Forwarding from 127.0.0.1:18080", ""), (r"Handling connection", INTERRUPT)),
        first="(until curl -sf --noproxy '*' http://127.0.0.1:18080/ >/dev/null; do sleep 0.2; done) &",
    ),
)

DEBUG = (
    Habit(
        f"kubectl debug tool --image={IMAGE} -- true",
        r"violates PodSecurity .*SYS_PTRACE",
        "the namespace enforces Pod Security `baseline`, and kubectl's own profile asks for a capability "
        "that it forbids: `--profile=baseline` or `--profile=restricted`",
        status=1,
        refused=True,
    ),
    Habit(
        f"kubectl debug tool -it --profile=baseline --image={IMAGE} --target=tool -- sh",
        r"while sleep 1; do echo tick",
        "an ephemeral container that sees the target's processes, as the target's user. "
        "Without `--target` it sees its own",
        keys=(
            ("press", "\n"),
            (_PROMPT, "ps -ef\n"),
            (r"sh -c while sleep 1; do echo tick(.|\n)*" + _PROMPT, "exit\n"),
        ),
    ),
    Habit(
        f"kubectl debug tool --profile=baseline --image={IMAGE} --copy-to=tool-copy --set-image='*={IMAGE}'",
        r"Defaulting debug container name",
        "a copy of the pod, with other images or another command: the original is not changed",
    ),
    Habit("kubectl wait --for=condition=Ready pod/tool-copy --timeout=60s", r"condition met"),
    Habit(
        f"kubectl debug node/gpu-node-1 --image={IMAGE}",
        r"violates PodSecurity .*host",
        "a node here is simulated: there is no machine to look at. `kubectl describe node`, "
        "`labkit logs node-agent`",
        status=1,
        refused=True,
    ),
)

CREATE = (
    Habit(f"kubectl run once --rm -i --restart=Never --image={IMAGE} --command -- echo hi", r"hi"),
    Habit(
        f"kubectl run shell --rm -it --restart=Never --image={IMAGE} --command -- sh",
        r"31 91(.|\n)*deleted",
        keys=(("press", "\n"), (_PROMPT, "stty size\n"), (r"31 91\s+" + _PROMPT, END)),
    ),
    Habit(f"kubectl run plain --image={IMAGE} --dry-run=client -o yaml", r"kind: Pod"),
    Habit(f"kubectl create deployment other --image={IMAGE} -- sleep 1000", r"created"),
    Habit("kubectl expose deployment other --port=80 --target-port=8080", r"service/other exposed"),
    Habit("kubectl create configmap settings --from-literal=a=1", r"created"),
    Habit("kubectl create secret generic keys --from-literal=a=1", r"created"),
    Habit("kubectl create job now --from=cronjob/nightly", r"created"),
    Habit("kubectl wait --for=condition=complete job/now --timeout=60s", r"condition met"),
    Habit("kubectl create token default", r"^\s*ey[\w.-]+\s*$"),
    Habit(
        "kubectl create serviceaccount robot",
        r"created",
        first="kubectl delete serviceaccount robot --ignore-not-found",
    ),
)

CHANGE = (
    Habit(
        "KUBE_EDITOR=\"sed -i 's/replicas: 2/replicas: 3/'\" kubectl edit deploy web",
        r"deployment.apps/web edited",
    ),
    Habit("kubectl rollout status deploy/web", r"successfully rolled out"),
    Habit("kubectl scale deploy web --replicas=2", r"scaled"),
    Habit("kubectl autoscale deploy other --min=1 --max=3 --cpu=50%", r"autoscaled"),
    Habit("kubectl set env deploy/web GREETING=hello", r"env updated"),
    Habit("kubectl set resources deploy/web -c beat --requests=cpu=20m", r"resource requirements updated"),
    Habit(
        f"kubectl set image deploy/other llm-inference={IMAGE}",
        r"^\s*$",
        "prints nothing if nothing changes",
    ),
    Habit("kubectl rollout history deploy/web", r"REVISION"),
    Habit("kubectl rollout pause deploy/web", r"paused"),
    Habit("kubectl rollout resume deploy/web", r"resumed"),
    Habit("kubectl rollout undo deploy/web", r"rolled back"),
    Habit("kubectl rollout restart deploy/web", r"restarted"),
    Habit("kubectl wait --for=condition=Available deploy/web --timeout=60s", r"condition met"),
    Habit("kubectl label deploy web tier=front --overwrite", r"labeled"),
    Habit("kubectl annotate deploy web kubernetes.io/change-cause=habit", r"annotate"),
    Habit('kubectl patch deploy web -p \'{"spec":{"replicas":1}}\'', r"patched"),
    Habit("kubectl diff -f web.yaml", r"replicas: 2", "exit status 1: there is a difference", status=1),
    Habit("kubectl apply -f web.yaml --dry-run=server", r"server dry run"),
    Habit("kubectl apply -f web.yaml", r"deployment.apps/web configured"),
    Habit("kubectl apply --server-side --force-conflicts -f web.yaml", r"serverside-applied"),
    Habit("kubectl apply -k .", r"deployment.apps/web (configured|unchanged)"),
    Habit(
        "kubectl apply -f new.yaml --prune -l group=habit",
        r"configmap/new created(.|\n)*configmap/old pruned",
        first="for n in old new; do kubectl create configmap $n --dry-run=client -o yaml > $n.yaml;"
        "sed -i 's/^metadata:/metadata: {labels: {group: habit}, name: '$n'}/; /^  name:/d' $n.yaml; done;"
        "kubectl apply -f old.yaml",
    ),
    Habit("kubectl replace -f cm.yaml", r"replaced", first="kubectl get cm settings -o yaml > cm.yaml"),
)

NODES = (
    Habit("kubectl cordon gpu-node-3", r"cordoned"),
    Habit("kubectl drain gpu-node-3 --ignore-daemonsets --delete-emptydir-data --force", r"drained"),
    Habit("kubectl uncordon gpu-node-3", r"uncordoned"),
    Habit("kubectl taint nodes gpu-node-3 habit=yes:NoSchedule", r"tainted"),
    Habit("kubectl taint nodes gpu-node-3 habit-", r"untainted"),
    Habit("kubectl certificate approve ada", r"ada approved", first="kubectl apply -f csr.yaml"),
    Habit(
        "kubectl get csr ada",
        r"Approved\s",
        "approved, but never issued: the lab has no signer. `kubectl create token` makes a login token",
    ),
)

DELETE = (
    Habit("kubectl delete pod moody --grace-period=0 --force", r"force deleted"),
    Habit("kubectl delete deploy other --cascade=orphan", r"deleted"),
    Habit("kubectl delete rs -l app=other --cascade=foreground", r"deleted"),
    Habit("kubectl delete -f web.yaml --ignore-not-found --wait=false", r"deployment.apps \"web\" deleted"),
    Habit("kubectl wait --for=delete pod/tool --timeout=60s", r"condition met|^\s*$"),
)

SECTIONS: Mapping[str, Sequence[Habit]] = {
    "Looking": LOOK,
    "Logs": LOGS,
    "Into a pod and out of it": INSIDE,
    "Debugging": DEBUG,
    "Creating": CREATE,
    "Changing": CHANGE,
    "Nodes": NODES,
    "Deleting": DELETE,
}
