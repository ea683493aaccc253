"""A simulated API server: what kubeloop's contract suite asks of kube-apiserver, in one process."""
